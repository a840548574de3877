import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { digestOf } from '../src/oci/digest.ts'
import { atLeast, atMost, exactly } from './checks.ts'
import { ageMs, wasUnsigned, type Move, type Observation } from './churn/history.ts'
import { createChurningWorld, type ChurningWorld } from './churn/world.ts'
import { MANIFEST_ACCEPT, measure, type Sample, type Target } from './measure.ts'
import { keyPolicy, startNginxPeer, startPeers, startPortcullisPeer, type Peer } from './peers.ts'
import { measureRounds, standardConditions } from './rounds.ts'
import { failures, NGINX, OURS, ratePlot, rateTable, ratioTo } from './rows.ts'
import type { Check, Scenario, ScenarioInput, ScenarioResult, Table } from './scenario.ts'
import { measureByWrk } from './wrk.ts'

const REQUESTS = ['tag that stands still', 'tag that moves'] as const
const MOVE_EVERY_MS = 250
const TAG_TTL_MS = 1_000
/** Between the registry's answer and the moment from which the tag is believed, on a machine that has other things to do. */
const SLACK_MS = 1_000
const LOOK_EVERY_MS = 20

/** Answers that a client checked while others pulled: what came, against what the tag named when. */
type Seen = {
  readonly peer: string
  readonly moves: readonly Move[]
  readonly observations: readonly Observation[]
}

function targetOf(world: ChurningWorld, peer: Peer, tag: string): Target {
  return {
    url: `${peer.url}/v2/${world.repository}/manifests/${tag}`,
    method: 'GET',
    headers: { accept: MANIFEST_ACCEPT },
    bodyBytes: world.manifestBytes,
  }
}

/** Asks by itself, all the while, and hashes what comes. */
async function watch({ url, headers }: Target, signal: AbortSignal): Promise<readonly Observation[]> {
  const observations: Observation[] = []
  while (!signal.aborted) {
    const askedMs = performance.now()
    const response = await fetch(url, { headers })
    const body = Buffer.from(await response.arrayBuffer())
    observations.push({
      askedMs,
      answeredMs: performance.now(),
      status: response.status,
      digest: digestOf(body),
    })
    await pause(LOOK_EVERY_MS)
  }
  return observations
}

type During<T> = { readonly result: T; readonly observations: readonly Observation[] }

async function watchDuring<T>(target: Target, work: () => Promise<T>): Promise<During<T>> {
  const ended = new AbortController()
  const watching = watch(target, ended.signal)
  try {
    const result = await work()
    ended.abort()
    return { result, observations: await watching }
  } finally {
    ended.abort()
    await watching
  }
}

/** Rates with a tag that stands still and one that moves from signed image to signed image, watched by a client that checks. */
async function measureRates(world: ChurningWorld, peers: readonly Peer[], input: ScenarioInput) {
  const seen: Seen[] = []
  world.settle('still')
  using moving = world.move('moving', MOVE_EVERY_MS, 'signed')
  const drive = input.generator === 'wrk' ? measureByWrk : measure
  const rows = await measureRounds(REQUESTS, peers, input, async (what, peer, seconds): Promise<Sample> => {
    const target = targetOf(world, peer, what === 'tag that moves' ? 'moving' : 'still')
    const asked = () => drive(target, seconds, input.connections)
    if (what === 'tag that stands still') return await asked()
    const { result, observations } = await watchDuring(target, asked)
    seen.push({ peer: peer.name, moves: moving.moves, observations })
    return result
  })
  return { rows, seen }
}

/** Every other image that the tag comes to name is not signed. */
async function watchRefusals(world: ChurningWorld, peer: Peer, seconds: number): Promise<Seen> {
  using moving = world.move('mixed', MOVE_EVERY_MS * 4, 'every other')
  const during = await watchDuring(targetOf(world, peer, 'mixed'), () => pause(seconds * 1000))
  return { peer: peer.name, moves: moving.moves, observations: during.observations }
}

type Findings = {
  readonly answers: number
  readonly served: number
  readonly refused: number
  /** Served, and no signed image that the tag ever named. */
  readonly wrong: number
  /** Refused, though the tag named nothing unsigned for as long as it may be believed. */
  readonly wronglyRefused: number
  /** Neither served nor refused. */
  readonly other: number
  readonly oldestMs: number
}

function findingsOf(seen: readonly Seen[]): Findings {
  const each = seen.flatMap(({ moves, observations }) =>
    observations.map((observed) => ({ moves, observed })),
  )
  const served = each.filter(({ observed }) => observed.status === 200)
  const refused = each.filter(({ observed }) => observed.status === 403)
  const ages = served.map(({ moves, observed }) => {
    const signed = moves.some(({ digest, isSigned }) => isSigned && digest === observed.digest)
    return signed ? ageMs(moves, observed) : undefined
  })
  return {
    answers: each.length,
    served: served.length,
    refused: refused.length,
    wrong: ages.filter((age) => age === undefined).length,
    wronglyRefused: refused.filter(
      ({ moves, observed }) => !wasUnsigned(moves, observed, TAG_TTL_MS + SLACK_MS),
    ).length,
    other: each.length - served.length - refused.length,
    oldestMs: Math.max(0, ...ages.filter((age) => age !== undefined)),
  }
}

function findingsTable(lines: readonly (readonly [what: string, found: Findings])[]): Table {
  return {
    title: 'What a client was answered meanwhile, every body hashed',
    columns: [
      'while',
      'answers',
      'served',
      'refused',
      'served, not signed',
      'refused, though signed',
      'other',
      'oldest s',
    ],
    rows: lines.map(([what, found]) => [
      what,
      ...[found.answers, found.served, found.refused, found.wrong, found.wronglyRefused, found.other].map(
        String,
      ),
      (found.oldestMs / 1000).toFixed(2),
    ]),
  }
}

function checksOf(rates: Findings, mixed: Findings): readonly Check[] {
  const oldest = TAG_TTL_MS + SLACK_MS
  return [
    exactly('answers with anything but a signed image of this tag', rates.wrong + mixed.wrong, 0),
    exactly('neither served nor refused', rates.other + mixed.other, 0),
    exactly('refused though the tag named only signed images', rates.refused + mixed.wronglyRefused, 0),
    atMost('oldest answer, ms', Math.max(rates.oldestMs, mixed.oldestMs), oldest, 0),
    atLeast('unsigned images were refused', mixed.refused, 1, 0),
    atLeast('signed ones were served in between', mixed.served, 1, 0),
  ]
}

async function run(input: ScenarioInput): Promise<ScenarioResult> {
  await using stack = new AsyncDisposableStack()
  const { directory, seconds, rounds, progress } = input
  const world = stack.use(await createChurningWorld())
  const portcullis = {
    directory: join(directory, 'portcullis'),
    upstream: world.host,
    policies: [keyPolicy(world.publicKey)],
    config: { cache: { tagTtl: `${TAG_TTL_MS / 1000}s` } },
  }
  const peers = await startPeers(stack, [
    () => startPortcullisPeer(portcullis),
    () => startNginxPeer(join(directory, 'nginx'), world.host),
  ])
  const { rows, seen } = await measureRates(world, peers, input)
  const ours = peers.find(({ name }) => name === OURS)
  if (ours === undefined) throw new Error('Portcullis did not start')
  progress('a tag whose every other image is unsigned')
  const mixed = findingsOf([await watchRefusals(world, ours, Math.max(10, seconds * rounds))])
  const of = (peer: string) => findingsOf(seen.filter((one) => one.peer === peer))
  return {
    conditions: [
      ...standardConditions(input),
      `cache.tagTtl ${TAG_TTL_MS / 1000} s; the tag moves every ${MOVE_EVERY_MS} ms, and every ${4 * MOVE_EVERY_MS} ms where every other image is unsigned; registry in memory, in the process of the client that checks`,
      'nginx keeps what it has for ten minutes (proxy_cache_valid), so it asks nobody and answers with the first image all the while: see how old its answers are',
    ],
    tables: [
      rateTable(rows),
      findingsTable([
        [`${OURS}, signed images only`, of(OURS)],
        [`${NGINX}, the same`, of(NGINX)],
        [`${OURS}, every other image unsigned`, mixed],
      ]),
    ],
    plots: [ratePlot('rate', 'A tag that stands still, and one that moves', rows)],
    checks: [
      exactly('failed requests', failures(rows), 0),
      atLeast('rate to nginx while the tag moves', ratioTo(rows, NGINX, 'tag that moves'), 0.3),
      ...checksOf(of(OURS), mixed),
    ],
  }
}

export const tagChurn: Scenario = {
  name: 'tag-churn',
  about: 'A tag that moves from image to image while it is pulled, with unsigned images in between.',
  tools: ['nginx'],
  run,
}
