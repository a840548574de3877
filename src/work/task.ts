import { createPublicKey, type KeyObject } from 'node:crypto'
import type { ReferrerList } from '../discover/referrer-list.ts'
import type { Digest } from '../oci/digest.ts'
import type { ManifestErrorCode } from '../oci/manifest-error.ts'
import type { Manifest } from '../oci/manifest-types.ts'
import type {
  Candidate,
  CandidateResult,
  EvidenceSource,
  KeyScheme,
  PublicKey,
  TrustRoot,
} from '../verify/types.ts'
import type { SubjectInput } from '../verify/verify.ts'

/** What crosses to a worker thread: plain data, since keys and certificates are objects of one thread. */
export type VerifyTask = {
  readonly form: Candidate['form']
  readonly source: EvidenceSource
  readonly bytes: Uint8Array
  readonly annotations: Readonly<Record<string, string>>
  readonly logEntries: readonly string[]
  readonly subject: Digest
  readonly artifact: Uint8Array | undefined
  readonly roots: readonly RootData[]
  readonly keys: readonly KeyData[]
  readonly logsToAsk: readonly string[] | undefined
}

/** The text is shared memory, so that it crosses without a copy; a thread reads it once for each version of the root. */
export type RootData = Omit<TrustRoot, 'material' | 'json'> & { readonly json: SharedArrayBuffer }

export type KeyData = {
  readonly id: string
  /** DER SubjectPublicKeyInfo. */
  readonly spki: Uint8Array
  readonly scheme: KeyScheme | undefined
}

type ManifestTask = { readonly bytes: Uint8Array; readonly contentType: string | undefined }

type ListingTask = {
  readonly lists: readonly Uint8Array[]
  readonly artifactType: string | undefined
}

/** A ManifestError would lose its class on the way back. */
export type TaskResult<T> =
  | { readonly ok: true; readonly value: T }
  | { readonly ok: false; readonly code: ManifestErrorCode; readonly message: string }

/** What a thread does, by name. */
export type Jobs = {
  readonly verify: (task: VerifyTask) => CandidateResult
  /** The same, or word that it would take so long that others should not wait for it. */
  readonly verifyLight: (task: VerifyTask) => CandidateResult | 'heavy'
  /** Nothing: the thread is ready. */
  readonly wake: (_: undefined) => void
  readonly manifest: (task: ManifestTask) => TaskResult<Manifest>
  readonly referrers: (bytes: Uint8Array) => ReferrerList
  readonly listing: (task: ListingTask) => TaskResult<Uint8Array>
  readonly evidence: (bytes: Uint8Array) => boolean
}

/** Makes tasks. What is trusted is the same in most of them, and is made ready for the way once. */
export function createVerifyTasks(): (candidate: Candidate, input: SubjectInput) => VerifyTask {
  const roots = new WeakMap<TrustRoot, RootData>()
  const keys = new WeakMap<KeyObject, Uint8Array>()
  const rootOf = (root: TrustRoot): RootData => remembered(roots, root, () => toRootData(root))
  const spkiOf = ({ key }: PublicKey): Uint8Array => remembered(keys, key, () => spki(key))
  return (candidate, input) => ({
    form: candidate.form,
    source: candidate.source,
    bytes: alone(candidate.bytes),
    annotations: candidate.form === 'bundle' ? {} : candidate.annotations,
    logEntries: candidate.logEntries ?? [],
    subject: input.subject,
    artifact: input.artifact === undefined ? undefined : alone(input.artifact),
    roots: input.roots.map(rootOf),
    keys: input.keys.map((key) => ({ id: key.id, spki: spkiOf(key), scheme: key.scheme })),
    logsToAsk: input.logsToAsk,
  })
}

function remembered<K extends object, V>(known: WeakMap<K, V>, key: K, make: () => V): V {
  const value = known.get(key) ?? make()
  known.set(key, value)
  return value
}

function toRootData({ material: _material, ...root }: TrustRoot): RootData {
  const bytes = Buffer.from(root.json, 'utf8')
  const shared = new SharedArrayBuffer(bytes.length)
  bytes.copy(new Uint8Array(shared))
  return { ...root, json: shared }
}

export function textOf(shared: SharedArrayBuffer): string {
  return Buffer.from(shared).toString('utf8')
}

/** Structured cloning copies the memory that a view is of: for what came from the network, all of its neighbours too. */
function alone(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes)
}

/** A Buffer again: structured cloning leaves a plain Uint8Array. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

export function toCandidate(task: VerifyTask): Candidate {
  const { form, source, annotations, logEntries } = task
  const bytes = asBuffer(task.bytes)
  return form === 'bundle'
    ? { form, source, bytes, logEntries }
    : { form, source, bytes, annotations, logEntries }
}

export function toKeyData({ id, key, scheme }: PublicKey): KeyData {
  return { id, spki: spki(key), scheme }
}

function spki(key: KeyObject): Uint8Array {
  return alone(key.export({ format: 'der', type: 'spki' }))
}

export function toPublicKey({ id, spki, scheme }: KeyData): PublicKey {
  const key = createPublicKey({ key: asBuffer(spki), format: 'der', type: 'spki' })
  return scheme === undefined ? { id, key } : { id, key, scheme }
}
