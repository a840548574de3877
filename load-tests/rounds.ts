import type { Sample } from './measure.ts'
import { GENERATOR_CORE, SERVER_CORE, type Peer } from './peers.ts'
import { cpuSeconds } from './process-cpu.ts'
import type { Row } from './rows.ts'
import type { ScenarioInput } from './scenario.ts'

/** Of caches and compilers; what is measured in it is thrown away. */
const WARM_UP_SECONDS = 1

/** `clients`: how many there are and what they do, where it is not the usual. */
export function standardConditions(
  { connections, rounds, seconds }: ScenarioInput,
  clients = `${connections} keep-alive connections`,
): readonly string[] {
  return [
    `each server alone on core ${SERVER_CORE}, generator and upstream registry on core ${GENERATOR_CORE}, all on 127.0.0.1`,
    `${clients}; median (lowest–highest) of ${rounds} rounds of ${seconds} s each, servers interleaved`,
  ]
}

/** The same peers, another first in each round, so that a slow minute of the machine hurts all alike. */
export function rotated<T>(items: readonly T[], round: number): readonly T[] {
  const first = round % items.length
  return [...items.slice(first), ...items.slice(0, first)]
}

/**
 * Calls `turn` for each of `cells`, those of one group by turns, `rounds` times after a warm-up (round 0), whose figures the
 * caller throws away.
 */
export async function interleave<Cell>(
  groups: readonly (readonly Cell[])[],
  rounds: number,
  turn: (cell: Cell, round: number) => Promise<void>,
): Promise<void> {
  for (let round = 0; round <= rounds; round += 1) {
    for (const cell of groups.flatMap((group) => rotated(group, round))) await turn(cell, round)
  }
}

type Drive<What> = (what: What, peer: Peer, seconds: number) => Promise<Sample>

/** Peers take turns at each kind of request within a round; round 0 is the warm-up. */
export async function measureRounds<What extends string>(
  requests: readonly What[],
  peers: readonly Peer[],
  { rounds, seconds, progress }: ScenarioInput,
  drive: Drive<What>,
): Promise<readonly Row[]> {
  const groups = requests.map((what) =>
    peers.map((peer) => ({ what, peer, samples: new Array<Row['samples'][number]>() })),
  )
  await interleave(groups, rounds, async ({ what, peer, samples }, round) => {
    const before = await cpuSeconds(peer.running.pid)
    const sample = await drive(what, peer, round === 0 ? WARM_UP_SECONDS : seconds)
    if (round === 0) return
    const cpu = (await cpuSeconds(peer.running.pid)) - before
    samples.push({ ...sample, serverCpuMicros: (cpu * 1e6) / (sample.requestsPerSecond * seconds) })
    progress(`round ${round}: ${what}, ${peer.name}: ${sample.requestsPerSecond.toFixed(0)} requests/s`)
  })
  return groups.flat().map(({ what, peer, samples }) => ({ what, peer: peer.name, samples }))
}
