import { accessSync, constants, existsSync } from 'node:fs'
import { delimiter, resolve } from 'node:path'

/** Where the fixtures lie beside a checkout; they are no part of the project. */
export const FIXTURES = new URL('../../../../shared/fixtures/images/', import.meta.url)

function executable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** The path of a program, named or absolute, or undefined. Debian keeps daemons in /usr/sbin, which is not on every user's PATH. */
export function find(program: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin', '/sbin']
  return folders.map((folder) => resolve(folder, program)).find(executable)
}

export type Need = { readonly tools: readonly string[]; readonly root?: boolean; readonly fixtures?: boolean }

/**
 * Why a suite cannot run here, for node:test's `skip`, or false. With PORTCULLIS_E2E_REQUIRE=1 (as in CI) a missing tool
 * is an error; missing fixtures only ever skip, since nobody can install them.
 */
export function missing({ tools, root = true, fixtures = false }: Need): string | false {
  const absent = tools.filter((tool) => find(tool) === undefined)
  const reasons = absent.map((tool) => `${tool} is not installed`)
  if (root && process.getuid?.() !== 0) reasons.push('the daemons need root')
  if (reasons.length > 0 && process.env['PORTCULLIS_E2E_REQUIRE'] === '1') throw new Error(reasons.join(', '))
  if (fixtures && !existsSync(FIXTURES)) reasons.push('the fixture images are not beside the checkout')
  return reasons.length > 0 ? reasons.join(', ') : false
}
