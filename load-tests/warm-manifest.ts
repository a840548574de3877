import { join } from 'node:path'
import { atLeast, atMost, exactly } from './checks.ts'
import { pushSignedImage, type SignedImage } from './image.ts'
import { checkOnce, MANIFEST_ACCEPT, measure, type Sample, type Target } from './measure.ts'
import { paced, percentileMs, requestsPerSecond } from './paced.ts'
import {
  keyPolicy,
  startBarePeer,
  startNginxPeer,
  startPeers,
  startPortcullisPeer,
  startPullThroughPeer,
  type Peer,
} from './peers.ts'
import { measureRounds, standardConditions } from './rounds.ts'
import {
  BARE,
  failures,
  LOGGING_NGINX,
  NGINX,
  OURS,
  PULL_THROUGH,
  ratePlot,
  rateTable,
  ratioTo,
  type Row,
} from './rows.ts'
import type { Check, Scenario, ScenarioInput, ScenarioResult } from './scenario.ts'
import { measureAtShare, p99Ratio, steadyPlot, steadyTable, type SteadyRow } from './steady-rate.ts'
import { startUpstream } from './upstream.ts'
import { measureByWrk } from './wrk.ts'
import { startZotPeer } from './zot.ts'

const REQUESTS = ['GET by digest', 'GET by tag', 'HEAD by tag'] as const
type Request = (typeof REQUESTS)[number]
/** Whoever can come near nginx's rate at all. */
const FAST: readonly string[] = [OURS, NGINX, LOGGING_NGINX, BARE]

function targetOf(what: Request, peer: Peer, image: SignedImage): Target {
  const reference = what === 'GET by digest' ? image.digest : image.tag
  return {
    url: `${peer.url}/v2/${image.repository}/manifests/${reference}`,
    method: what === 'HEAD by tag' ? 'HEAD' : 'GET',
    headers: { accept: MANIFEST_ACCEPT },
    bodyBytes: image.manifest.length,
  }
}

/** Our own sockets, in a closed loop: for HEAD they ask faster than autocannon, and wrk cannot. */
async function measureBySockets(target: Target, seconds: number, connections: number): Promise<Sample> {
  const cpu = process.cpuUsage()
  const result = await paced(target, { ratePerSecond: Number.POSITIVE_INFINITY, seconds, connections })
  const used = process.cpuUsage(cpu)
  return {
    requestsPerSecond: requestsPerSecond(result),
    p50Ms: percentileMs(result.latency, 50),
    p99Ms: percentileMs(result.latency, 99),
    failed: result.failed,
    generatorBusy: (used.user + used.system) / 1000 / result.elapsedMs,
  }
}

function generatorOf(what: Request, { generator }: ScenarioInput): typeof measure {
  if (generator === 'autocannon') return measure
  return what === 'HEAD by tag' ? measureBySockets : measureByWrk
}

function checksOf(rows: readonly Row[], steady: readonly SteadyRow[]): readonly Check[] {
  const [byDigest, byTag, head] = REQUESTS
  return [
    exactly('failed requests', failures(rows), 0),
    atLeast(`${byDigest}, rate to nginx`, ratioTo(rows, NGINX, byDigest), 0.5),
    atLeast(`${byTag}, rate to nginx`, ratioTo(rows, NGINX, byTag), 0.4),
    atLeast(`${head}, rate to nginx`, ratioTo(rows, NGINX, head), 0.4),
    atLeast(`${byTag}, rate to docker-registry`, ratioTo(rows, PULL_THROUGH, byTag), 20),
    ...steady
      // Where it cannot do this rate at all, the rates above say so already.
      .filter(({ peer, what, share }) => peer === OURS && (ratioTo(rows, NGINX, what) ?? 0) > share)
      .map(({ what }) => atMost(`${what} at a constant rate, p99 to nginx's`, p99Ratio(steady, what), 10)),
  ]
}

/** One signed image that every server has served before: what a node pays for a pull that is already decided. */
async function run(input: ScenarioInput): Promise<ScenarioResult> {
  await using stack = new AsyncDisposableStack()
  const { directory } = input
  const { registryHost, host: upstream } = await startUpstream(stack, directory)
  const image = await pushSignedImage(registryHost, 'load/image', 'stable')
  const portcullis = {
    directory: join(directory, 'portcullis'),
    upstream,
    policies: [keyPolicy(image.publicKey)],
  }
  const source = `http://${upstream}/v2/${image.repository}/manifests/${image.tag}`
  const peers = await startPeers(stack, [
    () => startPortcullisPeer(portcullis),
    () => startNginxPeer(join(directory, 'nginx'), upstream),
    () => startNginxPeer(join(directory, 'nginx-logging'), upstream, { isLogging: true }),
    () => startBarePeer(source, MANIFEST_ACCEPT),
    () => startZotPeer(join(directory, 'zot'), upstream),
    () => startPullThroughPeer(join(directory, 'pull-through'), upstream),
  ])
  const warm = async (what: Request, peer: Peer) => {
    const target = targetOf(what, peer, image)
    await checkOnce(target, image.digest)
    return target
  }
  const rows = await measureRounds(REQUESTS, peers, input, async (what, peer, seconds) => {
    const target = await warm(what, peer)
    return await generatorOf(what, input)(target, seconds, input.connections)
  })
  const steady = await measureAtShare(
    {
      rows,
      requests: ['GET by digest', 'GET by tag'] as const,
      peers: peers.filter(({ name }) => FAST.includes(name)),
      warm,
    },
    input,
  )
  const generators =
    input.generator === 'wrk' ? 'GET by wrk, HEAD by sockets of our own' : 'all by autocannon'
  return {
    conditions: [
      ...standardConditions(input),
      `rates: ${generators}; what is near 100 % busy is itself what is measured`,
      'constant rate: latency counts from the moment at which a request was due, but for a second at first, in which the connections are opened; late: what of it is the generator’s own',
    ],
    tables: [rateTable(rows), steadyTable(steady)],
    plots: [ratePlot('rate', 'Warm manifest, one core', rows), steadyPlot(steady)],
    checks: checksOf(rows, steady),
  }
}

export const warmManifest: Scenario = {
  name: 'warm-manifest',
  about: 'One signed image that every server has served before: by digest, by tag, HEAD.',
  tools: ['docker-registry', 'nginx'],
  run,
}
