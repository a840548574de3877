import { monitorEventLoopDelay, performance } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import { bundleFromJSON, bundleToJSON, type SerializedBundle } from '@sigstore/bundle'
import { TrustedRoot } from '@sigstore/protobuf-specs'
import { toSignedEntity, toTrustMaterial, Verifier, type TrustMaterial } from '@sigstore/verify'
import { bundleJson } from '../src/testing/cosign-layer.ts'
import { createSigstore, type Sigstore } from '../src/testing/sigstore.ts'
import { slsaStatement } from '../src/testing/statements.ts'
import { bundleCandidate } from '../src/testing/verification.ts'
import { parseTrustRoot } from '../src/trust/trust-root.ts'
import type { Candidate } from '../src/verify/types.ts'
import { verifyCandidate, type SubjectInput } from '../src/verify/verify.ts'
import { createVerificationRunner } from '../src/work/runner.ts'
import { ARTIFACT, IDENTITY, MANAGED_KEY, mintBundles, SUBJECT, type BundleKind } from './bundles.ts'
import { quantile, tableOf, timeUs } from './measure.ts'

/** How long the two verifiers are compared on one kind of bundle. */
const MEASURE_MS = 3000
const WARM_UP_MS = 700

const KINDS: ReadonlyMap<BundleKind, string> = new Map([
  ['message', 'keyless, message, Rekor v1'],
  ['provenance', 'keyless, SLSA provenance, Rekor v1'],
  ['stamped', 'keyless, provenance, v1 + timestamp'],
  ['rekor-2', 'keyless, provenance, Rekor v2'],
  ['key', 'managed P-256 key, provenance, v1'],
])

/** What a user of @sigstore/verify writes: the whole of its checks, none of those that it leaves out. */
function verifyVanilla(text: string, material: TrustMaterial): void {
  const json: SerializedBundle = JSON.parse(text)
  new Verifier(material).verify(toSignedEntity(bundleFromJSON(json), ARTIFACT))
}

function verifyOurs(candidate: Candidate, input: SubjectInput): void {
  const result = verifyCandidate(candidate, input)
  if (result.verified.length !== 1) throw new Error(result.failures[0]?.message ?? 'not verified')
}

const ROUND = { vanilla: 8, ours: 32 } as const

/** Rounds of both in turn, so that whatever else the machine does hits both, and neither runs in the other's caches. */
function compare(
  vanilla: () => void,
  ours: () => void,
): { vanilla: readonly number[]; ours: readonly number[] } {
  const results = { vanilla: [] as number[], ours: [] as number[] }
  for (const [limitMs, keep] of [
    [WARM_UP_MS, false],
    [MEASURE_MS, true],
  ] as const) {
    const end = performance.now() + limitMs
    while (performance.now() < end) {
      const round = {
        vanilla: Array.from({ length: ROUND.vanilla }, () => timeUs(vanilla)),
        ours: Array.from({ length: ROUND.ours }, () => timeUs(ours)),
      }
      if (!keep) continue
      results.vanilla.push(...round.vanilla)
      results.ours.push(...round.ours)
    }
  }
  return results
}

const row = tableOf(38, 14)

async function benchSpeed(sigstore: Sigstore): Promise<void> {
  const json = sigstore.trustedRootJson()
  const root = parseTrustRoot('bench', json)
  const publicKey = { publicKey: MANAGED_KEY.key, validFor: () => true }
  const material = toTrustMaterial(TrustedRoot.fromJSON(JSON.parse(json)), () => publicKey)
  const input = { subject: SUBJECT, artifact: ARTIFACT, roots: [root], keys: [MANAGED_KEY] }
  console.log(row('verification of one bundle (median, us)', '@sigstore', 'ours', 'ours p99', 'ratio'))
  const bundles = await mintBundles(sigstore)
  for (const [kind, label] of KINDS) {
    const bytes = bundleJson(bundles[kind])
    const text = bytes.toString('utf8')
    const candidate = bundleCandidate(bytes)
    const { vanilla, ours } = compare(
      () => verifyVanilla(text, material),
      () => verifyOurs(candidate, input),
    )
    const [theirs, mine] = [quantile(vanilla, 0.5), quantile(ours, 0.5)]
    console.log(
      row(
        label,
        theirs.toFixed(0),
        mine.toFixed(0),
        quantile(ours, 0.99).toFixed(0),
        `${(theirs / mine).toFixed(1)}x`,
      ),
    )
  }
}

/** Bundles that are meant to cost: what a registry may hold besides signatures. */
async function hostileBundles(sigstore: Sigstore): Promise<readonly { kind: string; bytes: Buffer }[]> {
  const hex = SUBJECT.slice('sha256:'.length)
  const signed = await sigstore.dsse(slsaStatement({ name: 'a', sha256: hex }), sigstore.keyless(IDENTITY), {
    log: 2,
  })
  const json = bundleToJSON(signed)
  const token = json.verificationMaterial.timestampVerificationData?.rfc3161Timestamps[0]
  const entry = json.verificationMaterial.tlogEntries[0]
  if (token === undefined || entry === undefined) throw new Error('nothing to copy')
  const withMaterial = (material: object): Buffer =>
    Buffer.from(
      JSON.stringify({ ...json, verificationMaterial: { ...json.verificationMaterial, ...material } }),
    )
  const timestamps = (tokens: readonly string[]): Buffer =>
    withMaterial({
      timestampVerificationData: {
        rfc3161Timestamps: tokens.map((signedTimestamp) => ({ signedTimestamp })),
      },
    })
  const garbageToken = (index: number): string => {
    const body = Buffer.alloc(16_000, Buffer.from([4, 1, index]))
    return Buffer.concat([Buffer.from([0x30, 0x82, body.length >> 8, body.length & 255]), body]).toString(
      'base64',
    )
  }
  const subjects = Array.from({ length: 100_000 }, (_, index) => ({
    name: `${index}`,
    digest: { sha256: hex },
  }))
  const many = { ...slsaStatement({ name: 'a', sha256: hex }), subject: subjects }
  return [
    {
      kind: '1000 copies of a timestamp',
      bytes: timestamps(Array.from({ length: 1000 }, () => token.signedTimestamp)),
    },
    {
      kind: '32 timestamps of ASN.1 garbage',
      bytes: timestamps(Array.from({ length: 32 }, (_, i) => garbageToken(i))),
    },
    {
      kind: '5 timestamps of ASN.1 garbage',
      bytes: timestamps(Array.from({ length: 5 }, (_, i) => garbageToken(i))),
    },
    {
      kind: '1000 copies of a log entry',
      bytes: withMaterial({ tlogEntries: Array.from({ length: 1000 }, () => entry) }),
    },
    { kind: '100k subjects', bytes: bundleJson(await sigstore.dsse(many, sigstore.keyless(IDENTITY))) },
    { kind: 'nesting, 200 KiB', bytes: Buffer.from('['.repeat(100_000) + ']'.repeat(100_000)) },
    { kind: 'empty objects, 256 KiB', bytes: Buffer.from(`[${'{},'.repeat(87_000)}{}]`) },
    { kind: 'empty objects, 15 MiB', bytes: Buffer.from(`[${'{},'.repeat(5_000_000)}{}]`) },
    { kind: 'garbage, 8 MiB', bytes: Buffer.alloc(8 * 1024 * 1024, 0x5b) },
  ]
}

async function benchEventLoop(sigstore: Sigstore): Promise<void> {
  const input = { subject: SUBJECT, roots: [parseTrustRoot('bench', sigstore.trustedRootJson())], keys: [] }
  const runner = createVerificationRunner()
  const never = new AbortController().signal
  const good = bundleCandidate(
    bundleJson(
      await sigstore.dsse(slsaStatement({ name: 'a', sha256: SUBJECT.slice(7) }), sigstore.keyless(IDENTITY)),
    ),
  )
  await runner.verify(
    Array.from({ length: 50 }, () => good),
    input,
    never,
  )
  console.log(row('\nevent loop held at most (ms), while', 'took', 'median', 'max', 'outcome'))
  const loads = [
    { kind: '100 good bundles at once', candidates: Array.from({ length: 100 }, () => good) },
    ...(await hostileBundles(sigstore)).map(({ kind, bytes }) => ({
      kind,
      candidates: [bundleCandidate(bytes)],
    })),
  ]
  for (const { kind, candidates } of loads) {
    await sleep(200)
    const delay = monitorEventLoopDelay({ resolution: 1 })
    delay.enable()
    const start = performance.now()
    const outcome = await runner.verify(candidates, input, never)
    const took = performance.now() - start
    // The timer that measures must get its turn after the last slice too.
    await sleep(5)
    delay.disable()
    const said = outcome.verified.length > 0 ? 'verified' : (outcome.failures[0]?.code ?? '')
    console.log(
      row(kind, took.toFixed(0), (delay.percentile(50) / 1e6).toFixed(1), (delay.max / 1e6).toFixed(1), said),
    )
  }
  await runner.close()
}

/** Compares the verifier with the library it is built on, and measures how long hostile evidence holds the event loop. */
export async function benchVerify(): Promise<void> {
  const sigstore = await createSigstore()
  await benchSpeed(sigstore)
  await benchEventLoop(sigstore)
}

if (import.meta.main) await benchVerify()
