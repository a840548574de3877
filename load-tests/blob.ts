import { createHash } from 'node:crypto'
import { statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { createBlob, imageOf, pushTiledBlob, type TiledBlob } from './blob/content.ts'
import { atLeast, exactly } from './checks.ts'
import { repeatPulls, type Pulls } from './clients.ts'
import { createSigner, pushSignedImage, type ImageSigner } from './image.ts'
import { MANIFEST_ACCEPT, type Target } from './measure.ts'
import {
  keyPolicy,
  startBareBlobsPeer,
  startNginxPeer,
  startPeers,
  startPortcullisPeer,
  startPullThroughPeer,
  type Peer,
} from './peers.ts'
import { cpuSeconds } from './process-cpu.ts'
import { median, spreadOf, spreadText } from './report.ts'
import { rotated, standardConditions } from './rounds.ts'
import { BARE_BLOBS, NGINX, OURS } from './rows.ts'
import type { Check, Plot, Scenario, ScenarioInput, ScenarioResult, Table } from './scenario.ts'
import { startUpstream, type Upstream } from './upstream.ts'

const TAG = 'v1'
const STATES = ['cold', 'warm'] as const
/** What a gigabyte takes at most: registry and three peers keep it, each once a round. */
const KEEPERS = 4

type Size = {
  readonly label: string
  readonly bytes: number
  /** Of one image, each fetched once by one client: what a cold round is. */
  readonly blobs: number
  /** At once, of the first of them, in a warm round. */
  readonly clients: number
  /** At most; the largest is written a few times only. */
  readonly rounds: number
}

const SMALL: readonly Size[] = [
  { label: '100 KB', bytes: 100_000, blobs: 20, clients: 32, rounds: 20 },
  { label: '10 MB', bytes: 10_000_000, blobs: 3, clients: 8, rounds: 20 },
]
const GIGABYTE: Size = { label: '1 GB', bytes: 1_000_000_000, blobs: 1, clients: 1, rounds: 2 }
const QUICK: Size = { ...GIGABYTE, label: '100 MB', bytes: 100_000_000, rounds: 1 }

type Sample = {
  readonly megabytesPerSecond: number
  readonly cpuSecondsPerGigabyte: number
  readonly generatorBusy: number
  readonly failed: number
}
type Cell = {
  readonly size: Size
  readonly state: (typeof STATES)[number]
  readonly peer: string
  readonly samples: Sample[]
}

function urlOf(peer: Peer, repository: string, path: string): string {
  return `${peer.url}/v2/${repository}/${path}`
}

function targetOf(peer: Peer, repository: string, { digest, bytes }: TiledBlob): Target {
  return { url: urlOf(peer, repository, `blobs/${digest}`), method: 'GET', headers: {}, bodyBytes: bytes }
}

/** One download by one client, hashed: what is measured must be the right bytes. */
async function checkBlob({ url }: Target, { digest }: TiledBlob): Promise<void> {
  const response = await fetch(url)
  const hash = createHash('sha256')
  for await (const chunk of response.body ?? []) hash.update(chunk)
  const found = `sha256:${hash.digest('hex')}`
  if (response.status !== 200 || found !== digest) throw new Error(`${url}: ${response.status}, ${found}`)
}

async function sampleOf(peer: Peer, bytesPerPull: number, pull: () => Promise<Pulls>): Promise<Sample> {
  const [serverBefore, ownBefore] = [await cpuSeconds(peer.running.pid), process.cpuUsage()]
  const { pulls, failed, elapsedMs } = await pull()
  const own = process.cpuUsage(ownBefore)
  const gigabytes = (pulls * bytesPerPull) / 1e9
  return {
    megabytesPerSecond: (gigabytes * 1e6) / elapsedMs,
    cpuSecondsPerGigabyte: ((await cpuSeconds(peer.running.pid)) - serverBefore) / gigabytes,
    generatorBusy: (own.user + own.system) / 1000 / elapsedMs,
    failed,
  }
}

type Image = { readonly repository: string; readonly blobs: readonly TiledBlob[] }

/** Every blob of an image once, then the first of them again and again. */
async function measurePeer(peer: Peer, { repository, blobs }: Image, size: Size, seconds: number) {
  const manifest = await fetch(urlOf(peer, repository, `manifests/${TAG}`), {
    headers: { accept: MANIFEST_ACCEPT },
  })
  if (manifest.status !== 200) throw new Error(`${peer.name}: ${manifest.status} ${await manifest.text()}`)
  await manifest.body?.cancel()
  const targets = blobs.map((blob) => targetOf(peer, repository, blob))
  const [first] = targets
  const [blob] = blobs
  if (first === undefined || blob === undefined) throw new RangeError('an image without blobs')
  const cold = await sampleOf(peer, size.bytes * size.blobs, () =>
    repeatPulls(targets, { clients: 1, seconds: Infinity, times: 1 }),
  )
  await checkBlob(first, blob)
  const warm = await sampleOf(peer, size.bytes, () =>
    repeatPulls([first], { clients: size.clients, seconds }),
  )
  return { cold, warm }
}

type Place = { readonly upstream: Upstream; readonly signer: ImageSigner; readonly peers: readonly Peer[] }

async function pushBlobs({ upstream, signer }: Place, size: Size, round: number): Promise<Image> {
  const repository = `load/blob-${size.bytes}-${round}`
  const blobs = Array.from({ length: size.blobs }, () => createBlob(size.bytes))
  for (const blob of blobs) await pushTiledBlob(upstream.registryHost, repository, blob)
  await pushSignedImage(upstream.registryHost, repository, TAG, { image: imageOf(blobs), signer })
  return { repository, blobs }
}

async function measureSize(place: Place, size: Size, input: ScenarioInput): Promise<readonly Cell[]> {
  const cells = STATES.flatMap((state) =>
    place.peers.map((peer) => ({ size, state, peer: peer.name, samples: new Array<Sample>() })),
  )
  // The largest moves more bytes than any compiler needs to warm up.
  const warmUps = size.bytes >= QUICK.bytes ? 0 : 1
  for (let round = 0; round < Math.min(input.rounds, size.rounds) + warmUps; round += 1) {
    const image = await pushBlobs(place, size, round)
    for (const peer of rotated(place.peers, round)) {
      const samples = await measurePeer(peer, image, size, round < warmUps ? 1 : input.seconds)
      if (round < warmUps) continue
      for (const cell of cells.filter((one) => one.peer === peer.name)) cell.samples.push(samples[cell.state])
      const [cold, warm] = STATES.map((state) => samples[state].megabytesPerSecond.toFixed(0))
      input.progress(`${size.label}, ${peer.name}: cold ${cold} MB/s, warm ${warm} MB/s`)
    }
  }
  return cells
}

type Figure = 'megabytesPerSecond' | 'cpuSecondsPerGigabyte'

function figures({ samples }: Cell, figure: Figure): readonly number[] {
  return samples.map((sample) => sample[figure])
}

/** Our median to that of `peer`, of the same size in the same state. */
function ratioTo(
  cells: readonly Cell[],
  { size, state, peer }: Pick<Cell, 'size' | 'state' | 'peer'>,
  figure: Figure,
): number {
  const of = (name: string) =>
    cells.find((one) => one.size === size && one.state === state && one.peer === name)
  const [ours, other] = [of(OURS), of(peer)]
  if (ours === undefined || other === undefined) return Number.NaN
  return median(figures(ours, figure)) / median(figures(other, figure))
}

/** CPU is counted in hundredths of a second: little work may be none. */
function ratioText(ratio: number): string {
  return Number.isFinite(ratio) ? ratio.toFixed(2) : '–'
}

function tableOf(cells: readonly Cell[]): Table {
  return {
    columns: [
      'blob',
      'cache',
      'server',
      'MB/s',
      'Portcullis : this',
      'server CPU s a GB',
      'Portcullis : this',
      'client busy',
      'failed',
    ],
    rows: cells.map((cell) => [
      cell.size.label,
      cell.state,
      cell.peer,
      spreadText(figures(cell, 'megabytesPerSecond'), 0),
      ratioText(ratioTo(cells, cell, 'megabytesPerSecond')),
      spreadText(figures(cell, 'cpuSecondsPerGigabyte'), 2),
      ratioText(ratioTo(cells, cell, 'cpuSecondsPerGigabyte')),
      `${(100 * median(cell.samples.map(({ generatorBusy }) => generatorBusy))).toFixed(0)} %`,
      String(cell.samples.reduce((sum, { failed }) => sum + failed, 0)),
    ]),
  }
}

function plotOf(cells: readonly Cell[], figure: Figure, named: Pick<Plot, 'name' | 'title' | 'unit'>): Plot {
  const labels = [...new Set(cells.map(({ size, state }) => `${size.label}, ${state}`))]
  const groups = labels.map((label) => ({
    label,
    bars: cells
      .filter(({ size, state }) => `${size.label}, ${state}` === label)
      .map((cell) => ({ label: cell.peer, ...spreadOf(figures(cell, figure)) })),
  }))
  return { kind: 'bars', ...named, groups }
}

function checksOf(cells: readonly Cell[]): readonly Check[] {
  const failed = cells.flatMap(({ samples }) => samples).reduce((sum, sample) => sum + sample.failed, 0)
  return [
    exactly('failed downloads', failed, 0),
    ...cells
      .filter(({ peer, state }) => peer === NGINX && state === 'warm')
      .map((cell) =>
        atLeast(`${cell.size.label} warm, MB/s to nginx`, ratioTo(cells, cell, 'megabytesPerSecond'), 0.4),
      ),
  ]
}

/** Those for which the disk has room, twice over. */
async function sizesThatFit({
  isQuick,
  rounds,
  directory,
  progress,
}: ScenarioInput): Promise<readonly Size[]> {
  const { bavail, bsize } = await statfs(directory)
  const wanted = [...SMALL, isQuick ? QUICK : GIGABYTE]
  return wanted.filter((size) => {
    const needed = 2 * KEEPERS * size.bytes * size.blobs * (Math.min(rounds, size.rounds) + 1)
    if (needed <= bavail * bsize) return true
    progress(`${size.label}: left out, the disk has no room`)
    return false
  })
}

async function run(input: ScenarioInput): Promise<ScenarioResult> {
  await using stack = new AsyncDisposableStack()
  const { directory } = input
  const upstream = await startUpstream(stack, directory)
  const signer = createSigner()
  const { host, registryHost } = upstream
  const peers = await startPeers(stack, [
    () =>
      startPortcullisPeer({
        directory: join(directory, 'portcullis'),
        upstream: host,
        policies: [keyPolicy(signer.publicKey)],
      }),
    () => startNginxPeer(join(directory, 'nginx'), host),
    () => startBareBlobsPeer(registryHost),
    () => startPullThroughPeer(join(directory, 'pull-through'), host),
  ])
  const sizes = await sizesThatFit(input)
  const cells: Cell[] = []
  for (const size of sizes) cells.push(...(await measureSize({ upstream, signer, peers }, size, input)))
  const each = (what: (size: Size) => number) =>
    sizes.map((size) => `${what(size)} of ${size.label}`).join(', ')
  return {
    conditions: [
      ...standardConditions(input, `keep-alive connections: ${each(({ clients }) => clients)}`),
      `cold: one connection, each blob of an image once (${each(({ blobs }) => blobs)}), new ones in each round; warm: the first of them again and again`,
      `at most ${GIGABYTE.rounds} rounds of ${GIGABYTE.label}; everything was written a moment ago and is read from the page cache, not from the disk`,
      'server CPU: user and system, which other work on the machine lengthens little; the client counts bytes, and hashes one download of each blob apart',
      'Portcullis and docker-registry hash what they fetch; nginx does not',
      `${BARE_BLOBS}: a program that does nothing but write a blob to the socket, which it holds in memory whole; the most that Node can do, as it has no sendfile. Its cold column is the registry's and says nothing`,
    ],
    tables: [tableOf(cells)],
    plots: [
      plotOf(cells, 'megabytesPerSecond', { name: 'rate', title: 'Blobs, one core', unit: 'MB/s' }),
      plotOf(cells, 'cpuSecondsPerGigabyte', {
        name: 'cpu',
        title: 'Blobs: processor time',
        unit: 's a GB, less is better',
      }),
    ],
    checks: checksOf(cells),
  }
}

export const blob: Scenario = {
  name: 'blob',
  about: 'Blobs of 100 KB, 10 MB and 1 GB of a signed image, cold and warm.',
  tools: ['docker-registry', 'nginx'],
  run,
}
