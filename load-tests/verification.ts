import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { must } from '../test/e2e/harness/process.ts'
import { atLeast } from './checks.ts'
import { MANIFEST_ACCEPT } from './measure.ts'
import { metricTotal } from './metrics.ts'
import { startPortcullisPeer, type PortcullisPeer } from './peers.ts'
import { cpuSeconds } from './process-cpu.ts'
import { median, spreadOf, spreadText } from './report.ts'
import { OURS } from './rows.ts'
import type { Scenario, ScenarioInput, ScenarioResult } from './scenario.ts'
import {
  cosignVerify,
  cosignVersion,
  findCosign,
  portcullisVerify,
  timed,
  type Cosign,
  type Timed,
} from './verification/processes.ts'
import {
  createVerificationWorld,
  SIGNED_BY,
  type Image,
  type SignedBy,
  type VerificationWorld,
} from './verification/world.ts'

/** `warmUp`: for the compilers; `inRow`: one after the other, for a figure of processor time that ticks of 10 ms can give. */
const COUNTS = {
  full: { warmUp: 400, inRow: 100, images: 20 },
  quick: { warmUp: 20, inRow: 10, images: 3 },
}
/** Of our own command, which starts a whole proxy for each. */
const OWN_PROCESSES = 5

const COSIGN = 'cosign verify'
const RUNNING = `${OURS}, running`

/** One a verification. */
type Times = { readonly wallMs: readonly number[]; readonly cpuMs: readonly number[] }
type Row = { readonly signedBy: SignedBy; readonly what: string; readonly times: Times }

/** What a running proxy takes for an image that it has never seen: manifest, evidence, verification, record, answer. */
async function pull({ url }: PortcullisPeer, { repository, digest }: Image): Promise<number> {
  const started = performance.now()
  const address = `${url}/v2/${repository}/manifests/${digest}`
  const response = await fetch(address, { headers: { accept: MANIFEST_ACCEPT } })
  const text = await response.text()
  if (response.status === 200) return performance.now() - started
  throw new Error(`${address}: ${response.status} ${text}`)
}

/** That the proxy's own step took since it started. */
async function verifySeconds({ adminUrl }: PortcullisPeer): Promise<number> {
  return await metricTotal(adminUrl, 'portcullis_step_duration_seconds_sum', { step: 'verify' })
}

function timesOf(all: readonly Timed[]): Times {
  return { wallMs: all.map(({ wallMs }) => wallMs), cpuMs: all.map(({ cpuMs }) => cpuMs) }
}

function less(one: Times, other: Times): Times {
  const difference = (time: keyof Times) => [median(one[time]) - median(other[time])]
  return { wallMs: difference('wallMs'), cpuMs: difference('cpuMs') }
}

type Place = {
  readonly world: VerificationWorld
  readonly cosign: Cosign
  readonly proxy: PortcullisPeer
  /** Of the proxy, for our own command. */
  readonly config: string
}
type Counts = (typeof COUNTS)['full']

/** The same images by everybody in turn. */
async function measureKind(
  { world, cosign, proxy, config }: Place,
  signedBy: SignedBy,
  { warmUp, inRow, images: count }: Counts,
): Promise<readonly Row[]> {
  const images = await world.signByCosign(signedBy, count)
  const others = await world.signHere(signedBy, warmUp + inRow)
  for (const image of others.slice(0, warmUp)) await pull(proxy, image)
  const cpuBefore = await cpuSeconds(proxy.running.pid)
  for (const image of others.slice(warmUp)) await pull(proxy, image)
  const cpuMs = [(((await cpuSeconds(proxy.running.pid)) - cpuBefore) * 1000) / inRow]
  const [theirs, starts, own]: [Timed[], Timed[], Timed[]] = [[], [], []]
  const wallMs: number[] = []
  const stepBefore = await verifySeconds(proxy)
  for (const [index, image] of images.entries()) {
    theirs.push(await timed(cosignVerify(cosign, world, image)))
    starts.push(await timed(cosignVersion(cosign)))
    if (index < OWN_PROCESSES) own.push(await timed(portcullisVerify(config, image)))
    wallMs.push(await pull(proxy, image))
  }
  const stepMs = [(((await verifySeconds(proxy)) - stepBefore) * 1000) / images.length]
  const [verify, start] = [timesOf(theirs), timesOf(starts)]
  return [
    { signedBy, what: RUNNING, times: { wallMs, cpuMs } },
    { signedBy, what: 'of that, its step “verify”', times: { wallMs: stepMs, cpuMs: [] } },
    { signedBy, what: COSIGN, times: verify },
    { signedBy, what: 'cosign version', times: start },
    { signedBy, what: 'cosign verify, less cosign version', times: less(verify, start) },
    { signedBy, what: 'portcullis verify', times: timesOf(own) },
  ]
}

/** How many times as long as the running proxy. */
function slower(
  rows: readonly Row[],
  { signedBy, what }: Pick<Row, 'signedBy' | 'what'>,
  time: keyof Times,
): number {
  const of = (name: string) => rows.find((row) => row.signedBy === signedBy && row.what === name)
  return median(of(what)?.times[time] ?? []) / median(of(RUNNING)?.times[time] ?? [])
}

function figure(values: readonly number[]): string {
  return Number.isNaN(median(values)) ? '–' : spreadText(values, 1)
}

async function cosignRelease(cosign: Cosign): Promise<string> {
  return /GitVersion:\s+(\S+)/.exec(await must(cosignVersion(cosign)))?.[1] ?? 'of unknown version'
}

const TIMES = ['wallMs', 'cpuMs'] as const

async function run({ directory, isQuick, progress }: ScenarioInput): Promise<ScenarioResult> {
  await using stack = new AsyncDisposableStack()
  const cosign = { program: findCosign(), home: join(directory, 'home') }
  await mkdir(cosign.home)
  const world = await createVerificationWorld(stack, directory, cosign.program)
  const own = join(directory, 'portcullis')
  const proxy = await startPortcullisPeer({ directory: own, ...world.proxyOptions })
  stack.defer(() => proxy.running.stop())
  const place = { world, cosign, proxy, config: join(own, 'portcullis.yaml') }
  const counts = isQuick ? COUNTS.quick : COUNTS.full
  const rows: Row[] = []
  for (const signedBy of SIGNED_BY) {
    progress(`signed by ${signedBy}: ${counts.images} images`)
    rows.push(...(await measureKind(place, signedBy, counts)))
  }
  const groups = SIGNED_BY.map((signedBy) => ({
    label: signedBy,
    bars: rows
      .filter((row) => row.signedBy === signedBy)
      .map(({ what, times }) => ({ label: what, ...spreadOf(times.wallMs) })),
  }))
  return {
    conditions: [
      `cosign ${await cosignRelease(cosign)}; ${counts.images} images of each kind, signed by cosign sign in its own default form (a bundle as referrer), each asked for by everybody in turn, by digest, from the same registry in memory on the other core; every verification succeeded; median (lowest–highest)`,
      `${RUNNING}: a client asks a running proxy for the manifest of an image that it has never seen, after ${counts.warmUp} others of its kind: manifest, search for evidence, verification, record on disk, answer. CPU: of the whole process, over ${counts.inRow} more of them in a row`,
      'cosign verify, cosign version, portcullis verify: whole processes on the same core, timed by bash. A proxy has started long before, a process starts every time: “less cosign version” (difference of the medians) is what is left of cosign without that',
      'key: nobody looks for a log entry, there is none (--insecure-ignore-tlog); keyless: everybody checks certificate and log entry against the trusted root of the same private Sigstore, and asks nobody but the registry',
    ],
    tables: [
      {
        columns: ['signature', 'verifier', 'ms', 'CPU ms', `this : ${RUNNING}`, 'the same, CPU'],
        rows: rows.map((row) => [
          row.signedBy,
          row.what,
          ...TIMES.map((time) => figure(row.times[time])),
          ...TIMES.map((time) => figure([slower(rows, row, time)])),
        ]),
      },
    ],
    plots: [
      { kind: 'bars', name: 'time', title: 'One image verified, cold', unit: 'ms, less is better', groups },
    ],
    // Of processor time: the clock's own ratio hangs on what else the machine does, far more than this one.
    checks: SIGNED_BY.map((signedBy) =>
      atLeast(
        `${signedBy}: processor time of cosign verify to ours`,
        slower(rows, { signedBy, what: COSIGN }, 'cpuMs'),
        2,
        1,
      ),
    ),
  }
}

export const verification: Scenario = {
  name: 'verification',
  about: 'The same signed images verified by cosign, and by a running proxy that has never seen them.',
  tools: ['bash'],
  run,
}
