import { hash } from 'node:crypto'
import { TargetFile } from '@tufjs/models'
import * as z from 'zod'
import { TrustError } from '../trust-error.ts'
import { parseTrustRoot } from '../trust-root.ts'
import { PublishError, reasonOf } from './error.ts'

/** One file for clients, by the name that they ask for. */
export type Target = {
  readonly name: string
  readonly bytes: Buffer
  readonly custom?: SigstoreCustom | undefined
}

/** `custom.sigstore` of a target, by which clients before `trusted_root.json` find keys and certificates. */
export type SigstoreCustom = {
  readonly usage: string
  readonly status: string
  readonly uri?: string
}

export function targetFile({ name, bytes, custom }: Target): TargetFile {
  return new TargetFile({
    path: name,
    length: bytes.length,
    hashes: { sha256: hash('sha256', bytes, 'hex') },
    ...(custom === undefined ? {} : { unrecognizedFields: { custom: { sigstore: { ...custom } } } }),
  })
}

/** What cosign 3 and every sigstore-go client ask for, and what cosign 3 asks for before it signs. */
export const TRUSTED_ROOT_TARGET = 'trusted_root.json'
export const SIGNING_CONFIG_TARGET = 'signing_config.v0.2.json'
const SIGNING_CONFIG_MEDIA_TYPE = 'application/vnd.dev.sigstore.signingconfig.v0.2+json'

/** Path segments without `..`, hidden files or characters that a web server or a shell reads otherwise. */
const TARGET_NAME = /^(?:[A-Za-z0-9_][A-Za-z0-9._-]*\/)*[A-Za-z0-9_][A-Za-z0-9._-]*$/
const NAME_LENGTH_MAX = 200

/** `NAME=VALUE`. Throws PublishError `usage`. */
export function parseAssignment(text: string, option: string): { name: string; value: string } {
  const equals = text.indexOf('=')
  const name = text.slice(0, equals)
  const value = text.slice(equals + 1)
  if (equals < 1 || value === '') throw new PublishError('usage', `${option} ${text}: expected NAME=VALUE`)
  return { name: parseTargetName(name), value }
}

/** Throws PublishError `usage`. */
export function parseTargetName(name: string): string {
  if (name.length <= NAME_LENGTH_MAX && TARGET_NAME.test(name)) return name
  throw new PublishError('usage', `${name} is no target name: letters, digits, "._-" and "/" between them`)
}

/** The kinds of key that Sigstore's clients before `trusted_root.json` look for (sigstore/sigstore, pkg/tuf). */
const USAGES = ['Fulcio', 'Rekor', 'CTFE', 'TSA'] as const
const STATUSES = ['Active', 'Expired'] as const

/** `KIND[,STATUS[,URI]]` of `--usage NAME=…`. Throws PublishError `usage`. */
export function parseUsage(text: string): SigstoreCustom {
  const [kind, state = 'Active', uri] = text.split(',')
  const usage = USAGES.find((known) => known === kind)
  const status = STATUSES.find((known) => known === state)
  if (usage === undefined || status === undefined) {
    const expected = `${USAGES.join('|')}[,${STATUSES.join('|')}[,URI]]`
    throw new PublishError('usage', `--usage ${text}: expected ${expected}`)
  }
  return { usage, status, ...(uri === undefined ? {} : { uri }) }
}

const signingConfig = z.looseObject({ mediaType: z.literal(SIGNING_CONFIG_MEDIA_TYPE) })

/** Refuses a target that the clients who look for this name could not read. Throws PublishError `invalid`. */
export function checkTarget({ name, bytes }: Target): void {
  const text = bytes.toString('utf8')
  if (name === TRUSTED_ROOT_TARGET) checkTrustedRoot(text)
  if (name !== SIGNING_CONFIG_TARGET) return
  try {
    signingConfig.parse(JSON.parse(text))
  } catch (error) {
    const reason = error instanceof z.ZodError ? z.prettifyError(error) : reasonOf(error)
    throw new PublishError('invalid', `${name} is no signing config v0.2: ${reason}`, error)
  }
}

function checkTrustedRoot(text: string): void {
  try {
    parseTrustRoot(TRUSTED_ROOT_TARGET, text)
  } catch (error) {
    if (!(error instanceof TrustError)) throw error
    throw new PublishError('invalid', error.message, error)
  }
}
