import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { checkDisk, Notes, openBudgetOf } from '../../load-tests/outage/cell.ts'
import type { Moment } from '../../load-tests/outage/expected.ts'
import type { Fault } from '../../load-tests/outage/front.ts'
import { metricsOf, type Proxy } from '../../load-tests/outage/proxy.ts'
import {
  createWorld,
  writeConfiguration,
  type Dependency,
  type Fronts,
  type World,
} from '../../load-tests/outage/world.ts'
import { configure } from '../../src/cli/configure.ts'
import { start, type Running } from '../../src/cli/serve.ts'

/** The table of docs/outages.md in one process, for faults that need no waiting. The whole of it: load-tests/outage. */

type Cell = readonly [dependency: Dependency, fault: Fault]

const FIRST_START: readonly Cell[] = [
  ['tuf', 'expired'],
  ['kms', '500'],
  ['rekor', 'garbage'],
]
const WARM: readonly Cell[] = [
  ['tuf', 'garbage'],
  ['rekor', '429'],
  ['registry', '500'],
  ['registry', 'garbage'],
]

type Trial = {
  readonly world: World
  readonly fronts: Fronts
  readonly proxy: InProcess
  readonly dependency: Dependency
  readonly fault: Fault
}

type InProcess = Proxy & { refreshTrust(): Promise<void> }

describe('outages', () => {
  const stack = new AsyncDisposableStack()
  let world: World

  before(async () => {
    const whole = stack.use(await createWorld())
    // What was never verified is the same to stance last-verified as to closed.
    world = { ...whole, images: whole.images.filter(({ stance }) => stance !== 'last-verified') }
    const names = Object.keys(world.env)
    const previous = names.map((name) => [name, process.env[name]] as const)
    stack.defer(() => {
      for (const [name, value] of previous) {
        if (value === undefined) delete process.env[name]
        else process.env[name] = value
      }
    })
    Object.assign(process.env, world.env)
  })
  after(() => stack.disposeAsync())

  async function inTrial(
    [dependency, fault]: Cell,
    moments: readonly Moment[],
    work: (trial: Trial) => Promise<void>,
  ): Promise<void> {
    const directory = await mkdtemp(join(tmpdir(), 'portcullis-outages-'))
    await using fronts = await world.openFronts()
    const openImagesMax = openBudgetOf(world, { dependency, fault }, moments)
    const ports = { data: 0, admin: 0 }
    const path = await writeConfiguration(world, fronts, {
      directory,
      ports,
      openImagesMax,
      logLevel: 'silent',
    })
    const proxy = createInProcess(path, directory)
    try {
      await work({ world, fronts, proxy, dependency, fault })
    } finally {
      await proxy.kill()
      await rm(directory, { recursive: true, force: true })
    }
  }

  for (const cell of FIRST_START) {
    test(`first start, ${cell.join(' ')}: held, or let pass by stance open; judged on recovery`, () =>
      inTrial(cell, ['first'], async (trial) => {
        const { fronts, proxy, dependency, fault } = trial
        const notes = new Notes(trial)
        await fronts[dependency].breakWith(fault)
        await proxy.start()
        await notes.look('first', ['first'])
        await proxy.kill()
        checkDisk(trial, notes)
        await assertRecovers(trial, notes, ['first'])
      }))
  }

  for (const cell of WARM) {
    test(`warm, ${cell.join(' ')}: what was decided stays, also after a restart`, () =>
      inTrial(cell, ['during', 'restart'], async (trial) => {
        const { fronts, proxy, dependency, fault } = trial
        const notes = new Notes(trial)
        await proxy.start()
        await notes.look('recovery', ['known'])
        await fronts[dependency].breakWith(fault)
        await proxy.refreshTrust()
        await notes.look('during', ['known', 'during'])
        await proxy.kill()
        checkDisk(trial, notes)
        await proxy.start()
        await notes.look('restart', ['known', 'during', 'restart'])
        await assertRecovers(trial, notes, ['known', 'during', 'restart'])
      }))
  }
})

/** A start of its own, so that no breaker has to be waited for. */
async function assertRecovers(
  { fronts, proxy, dependency }: Trial,
  notes: Notes,
  slots: Parameters<Notes['look']>[1],
): Promise<void> {
  await proxy.kill()
  await fronts[dependency].breakWith(undefined)
  await proxy.start()
  await proxy.refreshTrust()
  await notes.look('recovery', slots)
  assert.deepEqual(notes.deviations, [])
  const violated = [...notes.admitted].filter((repository) => !repository.includes('/good-')).length
  const told = `portcullis_admissions_judged_total{verdict="violated"} ${violated}`
  for (;;) {
    const metrics = await metricsOf(proxy)
    if (!metrics.includes('portcullis_open_admissions 0')) continue
    assert.ok(metrics.includes(told), metrics.join('\n'))
    return
  }
}

/** The whole proxy as `portcullis serve` builds it; `kill` is a stop here. */
function createInProcess(path: string, directory: string): InProcess {
  let running: Running | undefined
  const said: string[] = []
  const io = {
    stdout: () => undefined,
    stderr: (text: string) => void said.push(text),
    env: {},
    exit: () => undefined,
  }
  const now = (): Running => running ?? assert.fail('the proxy does not run')
  return {
    dataDirectory: join(directory, 'data'),
    port: () => now().data.address.port,
    adminPort: () => now().admin.address.port,
    async start() {
      const config = await configure(path, io)
      running = config === undefined ? undefined : await start(config, io)
      assert.ok(running !== undefined, said.join(''))
      return 0
    },
    async kill() {
      await running?.stop()
      running = undefined
    },
    log: () => Promise.resolve([]),
    refreshTrust: async () => void (await now().deps.trust.refresh('all', new AbortController().signal)),
  }
}
