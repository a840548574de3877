import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { isManifest } from '../src/blob/manifest-shape.ts'
import { discover } from '../src/discover/discover.ts'
import { digestOf, digestParts, type Digest } from '../src/oci/digest.ts'
import { MEDIA_TYPE } from '../src/oci/manifest-types.ts'
import type { Repository } from '../src/oci/reference.ts'
import { createReferrersRoute } from '../src/routes/referrers.ts'
import { openDatabase } from '../src/store/database.ts'
import { createStateStore } from '../src/store/state.ts'
import type { RegistryClient } from '../src/upstream/types.ts'
import type { Candidate } from '../src/verify/types.ts'
import { createVerificationRunner, type VerificationRunner } from '../src/work/runner.ts'
import { tableOf } from './measure.ts'
import { annotated, descriptor, escaped, filled, manifest, plain, referrerList, registry } from './hostile.ts'

const MIB = 1024 * 1024
/** Longer than this and other requests notice. */
const HOLD_MS_MAX = 20
const RUNS = 3
const SUBJECT = digestOf(Buffer.from('image'))
const REPOSITORY: Repository = { registry: 'bench.test', name: 'team/app' }
const BUNDLE = 'application/vnd.dev.sigstore.bundle.v0.3+json'
const DSSE = 'application/vnd.dsse.envelope.v1+json'
const SIGNATURE = 'application/vnd.dev.cosign.simplesigning.v1+json'

type Load = { readonly name: string; readonly run: (runner: VerificationRunner) => unknown }

type Hold = { readonly cpuMs: number; readonly wallMs: number }

/** CPU time of this thread: whatever else the machine does is in the other clock only. */
function cpuMs(): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}

/** The longest time between two turns of the event loop while `work` runs. */
async function longestHold(work: () => unknown): Promise<Hold> {
  await nextTurn()
  let longest: Hold = { cpuMs: 0, wallMs: 0 }
  let last: Hold = { cpuMs: cpuMs(), wallMs: performance.now() }
  let isDone = false
  const watch = (async () => {
    while (!isDone) {
      await nextTurn()
      const now = { cpuMs: cpuMs(), wallMs: performance.now() }
      longest = {
        cpuMs: Math.max(longest.cpuMs, now.cpuMs - last.cpuMs),
        wallMs: Math.max(longest.wallMs, now.wallMs - last.wallMs),
      }
      last = now
    }
  })()
  try {
    await work()
  } finally {
    isDone = true
    await watch
  }
  return longest
}

const never = (): AbortSignal => new AbortController().signal
const tag = (suffix: string): string => `sha256-${digestParts(SUBJECT).hex}${suffix}`

function discovery(name: string, client: RegistryClient): Load {
  return {
    name: `discover: ${name}`,
    run: (reader) => discover(SUBJECT, REPOSITORY, { client, reader }, never()),
  }
}

function manifestLoads(): readonly Load[] {
  const parse = (name: string, bytes: Buffer): Load => ({
    name: `manifest: ${name}`,
    run: (runner) => runner.parseManifest(bytes, MEDIA_TYPE.ociManifest, never()).catch(() => undefined),
  })
  const urls = Array.from({ length: 16 }, (_, n) => `https://h${n}.test/x`)
  const layers = Array.from({ length: 1000 }, (_, n) =>
    descriptor(Buffer.from(String(n)), 'application/vnd.oci.image.layer.v1.tar+gzip', {
      urls,
      annotations: Object.fromEntries(Array.from({ length: 9 }, (__, k) => [`a${n * 9 + k}`, ''])),
    }),
  )
  return [
    parse('32 KiB of annotations', annotated(32 * 1024, plain)),
    parse('32 KiB of escaped annotations', annotated(32 * 1024, escaped)),
    parse('255 KiB of annotations', annotated(255 * 1024, plain)),
    parse('1 MiB of annotations', annotated(MIB, plain)),
    parse('4 MiB of escaped annotations', annotated(4 * MIB, escaped)),
    parse(
      '4 MiB of empty objects',
      filled(4 * MIB, ['{"a":[', ']}'], () => '{}'),
    ),
    parse('1000 layers with 16 URLs and 9 annotations each', manifest(layers)),
  ]
}

function discoveryLoads(): readonly Load[] {
  const big = annotated(MIB, plain)
  const sigAnnotations = (n: number): object => ({
    annotations: {
      'dev.cosignproject.cosign/signature': 'x'.repeat(100),
      'dev.sigstore.cosign/bundle': 'x'.repeat(8000) + String(n),
    },
  })
  const payload = Buffer.from('payload')
  const signatures = Array.from({ length: 100 }, (_, n) => descriptor(payload, SIGNATURE, sigAnnotations(n)))
  const many = Array.from({ length: 64 }, (_, n) => {
    const annotations = Object.fromEntries(Array.from({ length: 4900 }, (__, k) => [`k${n}.${k}`, '']))
    const subject = descriptor(Buffer.from('image'), MEDIA_TYPE.ociManifest)
    return manifest([descriptor(payload, DSSE, { annotations })], { subject })
  })
  const listed = many.map((bytes) => descriptor(bytes, MEDIA_TYPE.ociManifest, { artifactType: BUNDLE }))
  const list = Buffer.from(JSON.stringify({ schemaVersion: 2, manifests: listed }))
  const heldMany = new Map<string, Buffer>(many.map((bytes) => [digestOf(bytes), bytes]))
  heldMany.set(digestOf(payload), payload)
  const envelope = Buffer.alloc(15.9 * MIB, 'x')
  const attested = manifest([descriptor(envelope, DSSE)])
  const pages = Array.from({ length: 8 }, () => referrerList(MIB))
  return [
    discovery(
      '.sig and .att of 1 MiB of annotations',
      registry(
        new Map([
          [tag('.sig'), big],
          [tag('.att'), big],
        ]),
      ),
    ),
    discovery(
      '.sig of 100 signatures',
      registry(
        new Map([
          [tag('.sig'), manifest(signatures)],
          [digestOf(payload), payload],
        ]),
      ),
    ),
    discovery('64 referrers of 4900 annotations', registry(heldMany, [list])),
    discovery(
      '8 pages of 1 MiB, fallback tag of 4 MiB',
      registry(new Map([[tag(''), referrerList(4 * MIB)]]), pages),
    ),
    discovery(
      'an attestation of 16 MiB',
      registry(
        new Map([
          [tag('.att'), attested],
          [digestOf(envelope), envelope],
        ]),
      ),
    ),
  ]
}

function routeLoads(): readonly Load[] {
  const annotations = (n: number): object => ({ annotations: { [`k${n}`]: '' } })
  const pages = Array.from({ length: 8 }, () => referrerList(MIB, annotations))
  const client = registry(new Map([[tag(''), referrerList(4 * MIB, annotations)]]), pages)
  const list = (runner: VerificationRunner, count: number): Promise<unknown> => {
    const route = createReferrersRoute({ runner, workLimit: never })
    const ask = () => route({ repository: REPOSITORY }, { digest: SUBJECT }, client)
    return Promise.all(Array.from({ length: count }, ask))
  }
  const evidence = (name: string, bytes: Buffer): Load => ({
    name: `evidence blob: ${name}`,
    run: (runner) => runner.isEvidenceBlob(bytes, never()),
  })
  return [
    { name: 'referrers route: 8 pages of 1 MiB and 4 MiB', run: (runner) => list(runner, 1) },
    { name: 'referrers route: the same for 20 clients', run: (runner) => list(runner, 20) },
    evidence('16 MiB of lines', Buffer.concat([Buffer.from('{'), Buffer.alloc(16 * MIB - 1, '\n')])),
    evidence(
      '1 MiB of empty objects',
      filled(MIB, ['[', ']'], () => '{}'),
    ),
    evidence(
      '32 KiB of keys',
      filled(32 * 1024, ['{', '}'], (n) => `"${plain(n)}":0`),
    ),
  ]
}

function verifyLoads(): readonly Load[] {
  const input = { subject: SUBJECT, roots: [], keys: [] }
  const verify = (name: string, candidates: readonly Candidate[]): Load => ({
    name: `verify: ${name}`,
    run: (runner) => runner.verify(candidates, input, never()).catch(() => undefined),
  })
  const source = { found: 'referrer', manifest: SUBJECT, blob: SUBJECT } as const
  const keys = (sizeBytes: number): Buffer => filled(sizeBytes, ['{', '}'], (n) => `"${plain(n)}":0`)
  const bundle = (sizeBytes: number): Candidate => ({ form: 'bundle', source, bytes: keys(sizeBytes) })
  const signature = (sizeBytes: number): Candidate => {
    const annotations = {
      'dev.cosignproject.cosign/signature': 'AAAA',
      'dev.sigstore.cosign/bundle': keys(sizeBytes).toString(),
    }
    return { form: 'simple-signing', source, bytes: Buffer.from('{}'), annotations }
  }
  const times = (candidate: Candidate): Candidate[] => Array.from({ length: 64 }, () => candidate)
  return [
    verify('64 bundles of 64 KiB of keys', times(bundle(64 * 1024))),
    verify('64 bundles of 250 KiB of keys', times(bundle(250 * 1024))),
    verify('64 signatures with 60 KiB of keys', times(signature(60 * 1024))),
    verify('64 signatures with 250 KiB of keys', times(signature(250 * 1024))),
  ]
}

function blobLoads(): readonly Load[] {
  const shape = (name: string, bytes: Buffer): Load => ({
    name: `blob: ${name}`,
    run: () => isManifest(bytes),
  })
  return [
    shape(
      '4 MiB of keys',
      filled(4 * MIB, ['{', '}'], (n) => `"${plain(n)}":0`),
    ),
    shape(
      '4 MiB of escaped keys',
      filled(4 * MIB, ['{', '}'], (n) => `"${escaped(n)}":0`),
    ),
    shape(
      '4 MiB of keys that nearly tell',
      filled(4 * MIB, ['{', '}'], () => '"\\u006d\\u0061nifest":0'),
    ),
    shape(
      '4 MiB of strings of backslashes',
      filled(4 * MIB, ['{', '}'], () => '"\\\\\\\\\\\\":0'),
    ),
    shape('4 MiB of space', Buffer.alloc(4 * MIB, ' ')),
  ]
}

function storeLoads(directory: string): readonly Load[] {
  const candidate = (n: number, sizeBytes: number): Candidate => {
    const blob: Digest = digestOf(Buffer.from(String(n)))
    const source = { found: 'referrer', manifest: blob, blob } as const
    const annotations = { 'dev.sigstore.cosign/bundle': 'x'.repeat(8000) }
    return { form: 'dsse', source, bytes: Buffer.alloc(sizeBytes, n), annotations }
  }
  const found = (count: number, sizeBytes: number) => {
    const candidates = Array.from({ length: count }, (_, n) => candidate(n, sizeBytes))
    return { candidates, rejected: [], failures: [] }
  }
  const store = (name: string, kept: ReturnType<typeof found>): Load[] => {
    const options = {
      now: () => new Date(),
      onError: (error: Error) => process.stderr.write(`${error.message}\n`),
    }
    const state = createStateStore(openDatabase(join(directory, `${name}.db`)), options)
    return [
      { name: `store: write ${name}`, run: () => state.setEvidence(REPOSITORY, SUBJECT, kept, new Date()) },
      { name: `store: read ${name}`, run: () => state.getEvidence(REPOSITORY, SUBJECT) },
    ]
  }
  return [
    ...store('128 candidates of 128 KiB', found(128, MIB / 8)),
    ...store('one candidate of 4 MB', found(1, 4_000_000)),
    ...store('128 candidates of 20 KiB', found(128, 20 * 1024)),
  ]
}

/** Prints the longest that each kind of hostile input holds the event loop, the worst of a few runs. */
export async function benchEventLoop(): Promise<void> {
  const runner = createVerificationRunner()
  const directory = await mkdtemp(join(tmpdir(), 'portcullis-bench-'))
  // The threads start once, and their start is not what is measured.
  const warm = annotated(100 * 1024, plain)
  await Promise.all([
    runner.parseManifest(warm, undefined, never()),
    runner.mergeReferrers([warm], undefined, never()),
  ]).catch(() => undefined)
  const line = tableOf(56, 10)
  const row = (...cells: readonly string[]): void => void process.stdout.write(`${line(...cells)}\n`)
  row('event loop held at most', 'cpu ms', 'wall ms', 'took ms')
  const loads = [
    ...manifestLoads(),
    ...discoveryLoads(),
    ...verifyLoads(),
    ...routeLoads(),
    ...blobLoads(),
    ...storeLoads(directory),
  ]
  for (const { name, run } of loads) {
    const holds: Hold[] = []
    const start = performance.now()
    for (let round = 0; round < RUNS; round++) holds.push(await longestHold(() => run(runner)))
    const took = (performance.now() - start) / RUNS
    const cpu = Math.max(...holds.map((hold) => hold.cpuMs))
    const wall = Math.max(...holds.map((hold) => hold.wallMs))
    const cells = [cpu.toFixed(1), wall.toFixed(1), took.toFixed(0)]
    row(name, ...cells, cpu > HOLD_MS_MAX ? ' <- long' : '')
  }
  await runner.close()
  await rm(directory, { recursive: true })
}

if (import.meta.main) await benchEventLoop()
