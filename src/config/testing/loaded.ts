import assert from 'node:assert/strict'
import { problemText } from '../../policy/problem.ts'
import type { Environment } from '../environment.ts'
import { loadConfig, type Config } from '../load.ts'

/** A configuration as text, over files that are only in memory. */

type Files = Readonly<Record<string, string>>

export const PATH = '/etc/portcullis/config.yaml'

export function read(files: Files): (path: string) => Promise<string> {
  return async (path) => files[path] ?? Promise.reject(new Error(`ENOENT ${path}`))
}

export async function load(
  text: string | undefined,
  env: Environment = {},
  files: Files = {},
): Promise<Config> {
  const path = text === undefined ? {} : { path: PATH }
  const result = await loadConfig({ ...path, env, readFile: read({ ...files, [PATH]: text ?? '' }) })
  assert.ok(result.ok, result.ok ? '' : result.problems.map(problemText).join('\n'))
  return result.config
}

export async function problems(
  text: string | undefined,
  env: Environment = {},
  files: Files = {},
): Promise<readonly string[]> {
  const path = text === undefined ? {} : { path: PATH }
  const result = await loadConfig({ ...path, env, readFile: read({ ...files, [PATH]: text ?? '' }) })
  assert.ok(!result.ok, 'expected problems')
  return result.problems.map(problemText)
}
