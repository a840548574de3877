import { hash } from 'node:crypto'
import type { TransparencyLogEntry } from '@sigstore/bundle'
import { Verifier, type SignedEntity, type TrustMaterial } from '@sigstore/verify'
import { Certificate } from './certificate.ts'
import { EvidenceError } from './evidence-error.ts'
import type { Evidence } from './evidence.ts'
import { assertNamesSigner, integratedTime, isIntotoV001, isValidAt, verifyIntotoV001 } from './log-entry.ts'
import type { SignatureContent } from './signature-content.ts'
import type { Timestamp } from './timestamp.ts'
import type { LogProof, TrustRoot, VerifiedTime } from './types.ts'

/** Who is said to have signed, and what vouches for it. */
export type Claimant = {
  readonly key: SignedEntity['key']
  /** Whether this is the DER of the very certificate or SubjectPublicKeyInfo: what a log entry must name. */
  readonly isSigner: (der: Buffer) => boolean
  /** Who vouches for it: nothing of another root counts. */
  readonly root: Pick<TrustRoot, 'name' | 'material'>
  readonly kind: keyof typeof DEMANDS
}

/** How many of each must vouch for a claimant. */
const DEMANDS = {
  /** The key outlives its certificate, which is in a public log, by years: when it signed must be proven, and in public. */
  keyless: { logs: 1, times: 1, scts: 1 },
  /** Without a time a certificate would count for ever, or a key that was stolen after its end. */
  pki: { logs: 0, times: 1, scts: 0 },
  key: { logs: 0, times: 0, scts: 0 },
} as const

/** Evidence whose timestamps are parsed. */
export type TimedEvidence = Pick<Evidence, 'content' | 'entries'> & {
  readonly timestamps: readonly Timestamp[]
}

export type Proof = { readonly logs: readonly LogProof[]; readonly times: readonly VerifiedTime[] }

type Authority = TrustMaterial['timestampAuthorities'][number]

function authorityOf(timestamp: Timestamp, authorities: readonly Authority[]): Authority | undefined {
  return authorities.find(({ certChain: [leaf] }) =>
    leaf === undefined
      ? false
      : leaf.serialNumber.equals(timestamp.signerSerialNumber) && leaf.issuer.equals(timestamp.signerIssuer),
  )
}

/** Material of another instance is dropped, not fatal: else one foreign timestamp makes good evidence unusable. */
function known(evidence: TimedEvidence, trust: TrustMaterial): TimedEvidence {
  return {
    content: evidence.content,
    entries: evidence.entries.filter((entry) =>
      trust.tlogs.some((log) => log.logID.equals(entry.logId.keyId)),
    ),
    timestamps: evidence.timestamps.filter(
      (timestamp) => authorityOf(timestamp, trust.timestampAuthorities) !== undefined,
    ),
  }
}

/** Whether there is anything in the evidence that this root could vouch for. */
export function isWitness({ material }: TrustRoot, evidence: TimedEvidence): boolean {
  const { entries, timestamps } = known(evidence, material)
  return entries.length + timestamps.length > 0
}

/** Only a promise signs the time of an entry; beside a bare proof the time is whatever somebody wrote there. */
function isTimed(entry: TransparencyLogEntry): boolean {
  return entry.inclusionPromise !== undefined && entry.integratedTime !== '0'
}

function timesOf(
  { entries, timestamps }: TimedEvidence,
  { name: trustRoot, material: trust }: Claimant['root'],
): readonly VerifiedTime[] {
  const times: VerifiedTime[] = entries.filter(isTimed).map((entry) => ({
    trustRoot,
    source: 'log',
    authority: entry.logId.keyId.toString('hex'),
    time: integratedTime(entry),
  }))
  for (const timestamp of timestamps) {
    const leaf = authorityOf(timestamp, trust.timestampAuthorities)?.certChain[0]
    if (leaf === undefined) continue
    const der = leaf instanceof Certificate ? leaf.der : leaf.root.toDER()
    times.push({
      trustRoot,
      source: 'timestamp-authority',
      authority: hash('sha256', der, 'hex'),
      time: timestamp.signingTime,
    })
  }
  return times
}

/** The library holds a log's validity against promises only; an entry with a bare proof is as old as the timestamps say. */
function assertLogKeyValid(
  entry: TransparencyLogEntry,
  times: readonly VerifiedTime[],
  trust: TrustMaterial,
): void {
  if (entry.inclusionPromise !== undefined) return
  const logs = trust.tlogs.filter((log) => log.logID.equals(entry.logId.keyId))
  const valid =
    times.length > 0
      ? logs.some((log) => times.every(({ time }) => isValidAt(log, time)))
      : logs.some((log) => log.validFor.end.getTime() === END_OF_TIME_MS)
  if (!valid) throw new EvidenceError('log-entry', 'log key was not valid at signing time')
}

/** What @sigstore/verify puts for a missing end: the largest Date. */
const END_OF_TIME_MS = 8_640_000_000_000_000

/** Two entries of one second are one time to the library, which would take the second for a copy. */
function timeKeyOf(entry: TransparencyLogEntry): string {
  return `${entry.logId.keyId.toString('hex')} ${entry.integratedTime}`
}

function entityOf(evidence: TimedEvidence, claimant: Claimant, signature: SignatureContent): SignedEntity {
  return {
    signature,
    key: claimant.key,
    tlogEntries: evidence.entries.filter((entry) => !isIntotoV001(entry)),
    timestamps: [
      ...distinct(evidence.entries.filter(isTimed), timeKeyOf).map((tlogEntry) => ({
        $case: 'transparency-log' as const,
        tlogEntry,
      })),
      ...evidence.timestamps.map((timestamp) => ({ $case: 'timestamp-authority' as const, timestamp })),
    ],
  }
}

/** One per log and per authority, so that thresholds cannot be met by one party twice. */
function distinct<T>(items: readonly T[], keyOf: (item: T) => string): readonly T[] {
  return [...new Map(items.toReversed().map((item) => [keyOf(item), item])).values()].toReversed()
}

function distinctTimes(times: readonly VerifiedTime[]): readonly VerifiedTime[] {
  return distinct(times, ({ trustRoot, source, authority }) => `${trustRoot} ${source}:${authority}`)
}

function logsOf(entries: readonly TransparencyLogEntry[], trustRoot: string): readonly LogProof[] {
  const logs = entries.map((entry) => ({
    trustRoot,
    logId: entry.logId.keyId.toString('hex'),
    logIndex: entry.logIndex,
    promise: entry.inclusionPromise !== undefined,
    inclusion: entry.inclusionProof !== undefined,
  }))
  return distinct(logs, ({ logId }) => logId)
}

function assertEnough(evidence: TimedEvidence, claimant: Claimant): void {
  const { logs, times } = DEMANDS[claimant.kind]
  if (evidence.entries.length < logs) {
    throw new EvidenceError('log-entry', 'no entry of a transparency log that the trust root knows', {
      foreign: true,
    })
  }
  if (evidence.timestamps.length + evidence.entries.filter(isTimed).length >= times) return
  if (claimant.kind === 'keyless')
    throw new EvidenceError('timestamp', 'no signed time from an authority that the trust root knows')
  const message = `no log entry and no timestamp that trust root ${claimant.root.name} knows says when the certificate signed`
  throw new EvidenceError('timestamp', message)
}

/**
 * Verifies signature, chain, SCTs, timestamps and log entries, and that the entries are of this very signature. All that
 * the trust knows must verify. Throws EvidenceError, or whatever the library throws on malformed input.
 */
export function prove(evidence: TimedEvidence, claimant: Claimant, signature: SignatureContent): Proof {
  const { name, material: trust } = claimant.root
  const ours = known(evidence, trust)
  assertEnough(ours, claimant)
  const demand = DEMANDS[claimant.kind]
  const readByLibrary = ours.entries.some((entry) => !isIntotoV001(entry))
  for (const entry of ours.entries.filter(isIntotoV001)) verifyIntotoV001(entry, ours.content, trust.tlogs)
  new Verifier(trust, {
    ctlogThreshold: demand.scts,
    timestampThreshold: demand.times,
    tlogThreshold: readByLibrary ? demand.logs : 0,
  }).verify(entityOf(ours, claimant, signature))
  const times = timesOf(ours, claimant.root)
  for (const entry of ours.entries) {
    assertLogKeyValid(entry, times, trust)
    assertNamesSigner(entry, claimant.isSigner)
  }
  return {
    logs: logsOf(ours.entries, name),
    times: distinctTimes(times),
  }
}

/** What several roots say of one signature: a log of each name, and one time of an authority that both know. */
export function unite(proofs: readonly Proof[]): Proof {
  return {
    logs: distinct(
      proofs.flatMap(({ logs }) => logs),
      ({ trustRoot, logId }) => JSON.stringify([trustRoot, logId]),
    ),
    times: distinctTimes(proofs.flatMap(({ times }) => times)),
  }
}

/**
 * Checks all that `prove` does but the log entry, as if one had been made while the certificate was valid. So it tells
 * whether an entry is worth to be looked for; it proves nothing. Throws like `prove`.
 */
export function assertProvableWithEntry(
  evidence: TimedEvidence,
  claimant: Claimant,
  signature: SignatureContent,
  signedAt: Date,
): void {
  const trust = claimant.root.material
  const ours = { ...known(evidence, trust), entries: [] }
  const entity = entityOf(ours, claimant, signature)
  const supposed = { $case: 'transparency-log' as const, tlogEntry: supposedEntry(signedAt) }
  new Verifier(trust, { ctlogThreshold: 1, timestampThreshold: 1, tlogThreshold: 0 }).verify({
    ...entity,
    timestamps: [...entity.timestamps, supposed],
  })
}

/** Of which only the time is ever read: entries to be verified go another way. */
function supposedEntry(time: Date): TransparencyLogEntry {
  return {
    logIndex: '0',
    logId: { keyId: Buffer.alloc(0) },
    kindVersion: { kind: '', version: '' },
    integratedTime: String(Math.floor(time.getTime() / 1000)),
    inclusionPromise: { signedEntryTimestamp: Buffer.alloc(0) },
    inclusionProof: undefined,
    canonicalizedBody: Buffer.alloc(0),
  }
}

/** Whether the root knows the log of any of the entries. */
export function knowsAnEntry({ material }: TrustRoot, evidence: TimedEvidence): boolean {
  return known(evidence, material).entries.length > 0
}
