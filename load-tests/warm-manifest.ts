import { join } from 'node:path'
import { startRegistry } from '../test/e2e/harness/registry.ts'
import { pushSignedImage, type SignedImage } from './image.ts'
import { checkOnce, measure, type Sample, type Target } from './measure.ts'
import {
  startBarePeer,
  startNginxPeer,
  startPortcullisPeer,
  startPullThroughPeer,
  startUpstreamFront,
  type Peer,
} from './peers.ts'
import type { Row } from './report.ts'
import { measureByWrk } from './wrk.ts'

export type ScenarioInput = {
  readonly directory: string
  readonly rounds: number
  readonly seconds: number
  readonly connections: number
  /** wrk asks faster than autocannon can, and waits for the body of a HEAD, which there is none of. */
  readonly generator: 'autocannon' | 'wrk'
  readonly progress: (line: string) => void
}

/** What clients send; the registry answers an OCI manifest only to those who say that they know it. */
const ACCEPT = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
].join(', ')

const REQUESTS = ['GET by digest', 'GET by tag', 'HEAD by tag'] as const

function targetOf(what: (typeof REQUESTS)[number], peer: Peer, image: SignedImage): Target {
  const reference = what === 'GET by digest' ? image.digest : image.tag
  return {
    url: `${peer.url}/v2/${image.repository}/manifests/${reference}`,
    method: what === 'HEAD by tag' ? 'HEAD' : 'GET',
    headers: { accept: ACCEPT },
    bodyBytes: image.manifest.length,
  }
}

/**
 * One signed image that every server has served before: what a node pays for a pull that is already decided. Servers take
 * turns within a round, in another order each round, so that a slow minute of the machine hurts all alike.
 */
export async function runWarmManifest(input: ScenarioInput): Promise<readonly Row[]> {
  await using stack = new AsyncDisposableStack()
  const { directory } = input
  const registry = await startRegistry(directory)
  stack.defer(() => registry.stop())
  const image = await pushSignedImage(registry.host, 'load/image', 'stable')
  const front = await startUpstreamFront(join(directory, 'upstream'), registry.host)
  stack.defer(() => front.running.stop())
  const peers: Peer[] = []
  for (const starting of [
    () => startPortcullisPeer(join(directory, 'portcullis'), front.host, image),
    () => startNginxPeer(join(directory, 'nginx'), front.host),
    () => startPullThroughPeer(join(directory, 'pull-through'), front.host),
    () => startBarePeer(`${peers[0]?.url}/v2/${image.repository}/manifests/${image.tag}`, ACCEPT),
  ]) {
    // oxlint-disable-next-line no-await-in-loop -- one at a time: starting is not what is measured
    const peer = await starting()
    stack.defer(() => peer.running.stop())
    peers.push(peer)
  }
  return await measureRounds(peers, image, input)
}

type Turn = { readonly what: (typeof REQUESTS)[number]; readonly peer: Peer }

function turnsOf(round: number, peers: readonly Peer[]): readonly Turn[] {
  const first = round % peers.length
  const order = [...peers.slice(first), ...peers.slice(0, first)]
  return REQUESTS.flatMap((what) => order.map((peer) => ({ what, peer })))
}

async function measureRounds(
  peers: readonly Peer[],
  image: SignedImage,
  input: ScenarioInput,
): Promise<readonly Row[]> {
  const rows = REQUESTS.flatMap((what) =>
    peers.map((peer) => ({ what, peer: peer.name, samples: new Array<Sample>() })),
  )
  // Round 0 is the warm-up of caches and compilers; its numbers are thrown away.
  for (let round = 0; round <= input.rounds; round += 1) {
    for (const { what, peer } of turnsOf(round, peers)) {
      const target = targetOf(what, peer, image)
      await checkOnce(target, image.digest)
      const drive = input.generator === 'wrk' && what !== 'HEAD by tag' ? measureByWrk : measure
      const sample = await drive(target, round === 0 ? 1 : input.seconds, input.connections)
      if (round === 0) continue
      rows.find((row) => row.what === what && row.peer === peer.name)?.samples.push(sample)
      input.progress(
        `round ${round}: ${what}, ${peer.name}: ${sample.requestsPerSecond.toFixed(0)} requests/s`,
      )
    }
  }
  return rows
}
