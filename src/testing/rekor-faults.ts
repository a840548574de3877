import { generateKeyPairSync } from 'node:crypto'
import { publicKeyDer, toPem } from './certificate.ts'
import { canonicalJson, leafHash } from './merkle-log.ts'
import { jsonReply, type Reply } from './registry-reply.ts'
import { entryJson } from './rekor-routes.ts'
import type { Sigstore } from './sigstore.ts'

/** One entry in Rekor's JSON, to be changed in place. */
type Json = {
  body: string
  integratedTime: number
  logID: string
  logIndex: number
  verification: {
    signedEntryTimestamp?: string
    inclusionProof?: {
      checkpoint: string
      hashes: string[]
      rootHash: string
      logIndex: number
      treeSize: number
    }
  }
}
type Pair = [uuid: string, entry: Json]

function flipped(text: string, at = 20): string {
  return `${text.slice(0, at)}${text[at] === 'a' ? 'b' : 'a'}${text.slice(at + 1)}`
}

/** The same content by a key of the log's own making: logged, promised and proven. */
function byAnotherKey({ logs, now }: Sigstore, body: string): Pair {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  const pem = Buffer.from(toPem(publicKeyDer(publicKey), 'PUBLIC KEY')).toString('base64')
  const text = Buffer.from(body, 'base64').toString()
  const changed = text.replace(/"(content|verifier|publicKey)":"LS0t[^"]*"/, `"$1":"${pem}"`)
  return pairOf(entryJson(logs.v1.append(Buffer.from(changed), now())))
}

function another({ logs, now }: Sigstore): Pair {
  const body = canonicalJson({ apiVersion: '0.0.1', kind: 'hashedrekord', spec: { of: 'something else' } })
  return pairOf(entryJson(logs.v1.append(body, now())))
}

function pairOf(json: object): Pair {
  const [pair] = Object.entries(json) as Pair[]
  if (pair === undefined) throw new TypeError('no entry')
  return pair
}

/** Changes the body and the UUID with it, as somebody would who wants it to be believed. */
function withBody([uuid, entry]: Pair, edit: (text: string) => string): Pair {
  const body = Buffer.from(edit(Buffer.from(entry.body, 'base64').toString()))
  return [uuid.slice(0, 16) + leafHash(body).toString('hex'), { ...entry, body: body.toString('base64') }]
}

/** What a log, or somebody in its place, can do to an entry; `entry` is a copy that may be changed. */
const TAMPERS = {
  'wrong-entry': (_pair, sigstore) => another(sigstore),
  'wrong-uuid': ([uuid, entry]) => [flipped(uuid, 40), entry],
  'other-key': ([, { body }], sigstore) => byAnotherKey(sigstore, body),
  'no-proof': ([uuid, entry]) => [uuid, { ...entry, verification: {} }],
  'tampered-body': (pair) => withBody(pair, (text) => text.replace('{', '{ ')),
  'tampered-time': ([uuid, entry]) => [uuid, { ...entry, integratedTime: entry.integratedTime + 1 }],
  'tampered-index': ([uuid, entry]) => [uuid, { ...entry, logIndex: entry.logIndex + 1 }],
  'foreign-log': ([uuid, entry]) => [uuid, { ...entry, logID: flipped(entry.logID) }],
  'tampered-promise': ([uuid, entry]) => {
    const { signedEntryTimestamp = '' } = entry.verification
    entry.verification.signedEntryTimestamp = flipped(signedEntryTimestamp, 40)
    return [uuid, entry]
  },
  'tampered-proof': ([uuid, entry]) => {
    const { inclusionProof } = entry.verification
    if (inclusionProof !== undefined)
      inclusionProof.hashes = inclusionProof.hashes.map((hash) => flipped(hash))
    return [uuid, entry]
  },
  'tampered-checkpoint': ([uuid, entry]) => {
    const { inclusionProof } = entry.verification
    if (inclusionProof !== undefined)
      inclusionProof.checkpoint = inclusionProof.checkpoint.replace(/\n\d+\n/, '\n1\n')
    return [uuid, entry]
  },
} satisfies Record<string, (pair: Pair, sigstore: Sigstore) => Pair>

type Tamper = keyof typeof TAMPERS

/** What a log can do to those who ask it: faults of the network, and of its answers. */
const OTHER_FAULTS = ['refused', 'hang', 'slow', '500', '429', 'redirect', 'garbage', 'endless'] as const
export type RekorFault = Tamper | (typeof OTHER_FAULTS)[number]

function isTamper(fault: string): fault is Tamper {
  return Object.hasOwn(TAMPERS, fault)
}

export const REKOR_FAULTS: readonly RekorFault[] = [...OTHER_FAULTS, ...Object.keys(TAMPERS).filter(isTamper)]

/** What the log answers in place of `reply`, as far as the fault is one of answers. */
export function faultyReply(fault: RekorFault, reply: Reply, sigstore: Sigstore): Reply {
  if (fault === '500') return jsonReply(500, { code: 500, message: 'internal error' })
  if (fault === '429') return jsonReply(429, { code: 429, message: 'slow down' }, { 'retry-after': '60' })
  if (fault === 'redirect') return { status: 302, headers: { location: 'http://127.0.0.1:1/' } }
  if (fault === 'garbage') return jsonReply(200, '\u0000 not an entry')
  if (fault === 'endless') return { status: 200, body: `[${' '.repeat(8 * 1024 * 1024)}]` }
  const value: unknown = JSON.parse(String(reply.body ?? 'null'))
  if (reply.status !== 200 || !isTamper(fault)) return reply
  const tamper = TAMPERS[fault]
  const edit = (json: unknown): unknown =>
    typeof json === 'object' && json !== null
      ? Object.fromEntries(
          Object.entries(structuredClone(json)).map((pair) => tamper(pair as Pair, sigstore)),
        )
      : json
  return jsonReply(200, Array.isArray(value) ? value.map(edit) : edit(value))
}
