import { hash } from 'node:crypto'
import { join } from 'node:path'
import * as z from 'zod'
import { writeFileAtomically } from '../../store/atomic-file.ts'
import type { Files } from '../../store/content-files.ts'
import { readPublicKey } from '../../verify/public-key.ts'
import type { PublicKey } from '../../verify/types.ts'
import type { KeptKey, KeyState, RetiringKey } from './key-state.ts'

export type KeyFileSystem = Pick<Files, 'open' | 'readFile' | 'mkdir' | 'rename' | 'rm'>

/** Only this process reads and writes here. */
const DIRECTORY_MODE = 0o700

const time = z.iso.datetime()

const storedKey = z.strictObject({
  keyId: z.string().min(1),
  pem: z.string(),
  hash: z.enum(['sha256', 'sha384', 'sha512']).optional(),
  pss: z.boolean().optional(),
  confirmedAt: time,
})

const storedRetiring = storedKey.extend({ since: time, until: time })

const storedState = z.strictObject({
  format: z.literal(1),
  /** The file's name is only its hash. */
  reference: z.string(),
  current: storedKey.optional(),
  retiring: z.array(storedRetiring).max(16),
  gone: z.strictObject({ since: time, message: z.string() }).optional(),
})

type StoredKey = z.output<typeof storedKey>

function storeKey({ keyId, publicKey: { key, scheme }, confirmedAt }: KeptKey): StoredKey {
  return {
    keyId,
    pem: key.export({ format: 'pem', type: 'spki' }).toString(),
    confirmedAt: confirmedAt.toISOString(),
    ...(scheme === undefined || scheme.hash === null ? {} : { hash: scheme.hash }),
    ...(scheme?.pss === true ? { pss: true } : {}),
  }
}

function restorePublicKey({ pem, hash: hashAlgorithm, pss }: StoredKey): PublicKey {
  const key = readPublicKey(pem, { hashAlgorithm, padding: pss === true ? 'pss' : undefined })
  if ('problem' in key) throw new SyntaxError(key.problem)
  return key
}

function restoreKey(stored: StoredKey): KeptKey {
  return {
    keyId: stored.keyId,
    publicKey: restorePublicKey(stored),
    confirmedAt: new Date(stored.confirmedAt),
  }
}

function restoreRetiring(stored: z.output<typeof storedRetiring>): RetiringKey {
  return { ...restoreKey(stored), since: new Date(stored.since), until: new Date(stored.until) }
}

/** A line with the checksum of the rest, and the rest. The checksum tells a broken disk, not an attacker. */
function encodeState(reference: string, { current, retiring, gone }: KeyState): string {
  const stored: z.input<typeof storedState> = {
    format: 1,
    reference,
    retiring: retiring.map((key) => ({
      ...storeKey(key),
      since: key.since.toISOString(),
      until: key.until.toISOString(),
    })),
    ...(current === undefined ? {} : { current: storeKey(current) }),
    ...(gone === undefined ? {} : { gone: { since: gone.since.toISOString(), message: gone.message } }),
  }
  const json = `${JSON.stringify(stored, null, 2)}\n`
  return `${checksumOf(json)}\n${json}`
}

function checksumOf(text: string): string {
  return `sha256:${hash('sha256', text, 'hex')}`
}

/** Throws where the text is not what was written for this reference. */
export function decodeState(reference: string, text: string): KeyState {
  const end = text.indexOf('\n')
  const json = text.slice(end + 1)
  if (end === -1 || text.slice(0, end) !== checksumOf(json)) throw new SyntaxError('its checksum is wrong')
  const { current, retiring, gone, ...stored } = storedState.parse(JSON.parse(json))
  if (stored.reference !== reference) throw new SyntaxError('it is about another key')
  if (current !== undefined && gone !== undefined) throw new SyntaxError('it has a key that is gone')
  return {
    current: current === undefined ? undefined : restoreKey(current),
    retiring: retiring.map(restoreRetiring),
    gone: gone === undefined ? undefined : { since: new Date(gone.since), message: gone.message },
  }
}

export function keyFilePath(directory: string, reference: string): string {
  return join(directory, `${hash('sha256', reference, 'hex')}.key`)
}

/** Replaces the file as one: after a crash it is the old one or the new one. Rejects with what the file system threw. */
export async function writeKeyFile(
  files: KeyFileSystem,
  directory: string,
  reference: string,
  state: KeyState,
): Promise<void> {
  await files.mkdir(directory, { recursive: true, mode: DIRECTORY_MODE })
  await writeFileAtomically(keyFilePath(directory, reference), encodeState(reference, state), { files })
}
