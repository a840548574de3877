import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { Command } from 'commander'
import { refusePages } from '../admin/cross-site.ts'
import { createDrillRoutes } from '../admin/drill.ts'
import { serveRoutes } from '../admin/testing/serve-routes.ts'
import { Drills } from '../drill.ts'
import { parseImageReference } from '../oci/reference.ts'
import { RecentPulls, type JudgeFresh } from '../replay.ts'
import { registerDrill, type DrillSurroundings } from './drill.ts'

type Setting = Partial<DrillSurroundings> & { judgeFresh?: JudgeFresh }

const serve: JudgeFresh = () => Promise.resolve({ outcome: 'serve', why: '' })
const hold: JudgeFresh = () => Promise.resolve({ outcome: 'hold', why: 'r.test: ECONNREFUSED\u001b[31m' })

function setUp({ judgeFresh = serve, ...surroundings }: Setting = {}) {
  const nowMs = Date.UTC(2026, 0, 1)
  const events: string[] = []
  const drills = new Drills({
    now: () => new Date(nowMs),
    onEvent: ({ kind, drill }) => void events.push(`${kind} ${drill.dependencies.join()} by ${drill.by}`),
  })
  const recent = new RecentPulls(() => nowMs)
  const image = parseImageReference('r.test/app:v1') ?? assert.fail()
  const ring = { name: 'default', stanceLimit: undefined }
  recent.note({ ...image, client: '10.0.0.1', ring, isServed: true })
  const replayLimit = () => new AbortController().signal
  const routes = createDrillRoutes(
    { drills, recent: async () => await Promise.resolve(recent.list()), judgeFresh, replayLimit },
    refusePages(new Set(['edge.internal'])),
  )
  const ended = { code: -1, stdout: '', stderr: '' }
  const io = {
    stdout: (text: string) => void (ended.stdout += text),
    stderr: (text: string) => void (ended.stderr += text),
    env: { USER: 'ada' },
    exit: (code: number) => void (ended.code = code),
  }
  const portcullis = async (...argv: string[]) => {
    await using server = await serveRoutes(routes)
    const program = new Command('portcullis').exitOverride().configureOutput({ writeErr: io.stderr })
    registerDrill(program, io, {
      isInteractive: false,
      ask: () => assert.fail('nobody is there'),
      onInterrupt: () => () => undefined,
      // Where the command thinks that the admin listener is.
      fetch: async (url, init) => {
        assert(url instanceof URL)
        return await fetch(new URL(url.pathname, server.url), init)
      },
      ...surroundings,
    })
    await program.parseAsync(['drill', ...argv], { from: 'user' })
    return ended
  }
  return { portcullis, drills, events, io }
}

it('takes away, replays, reports and gives back', async () => {
  const { portcullis, drills, events } = setUp()
  const { code, stdout, stderr } = await portcullis('kms', 'registry', '--for', '2m', '--yes')
  assert.equal(code, 0, stderr)
  assert.match(stdout, /^without registry, kms \(until 2026-01-01T00:02:00\.000Z at the latest\), /)
  assert.match(stdout, /\n {2}served {7}1\n/)
  assert.equal(drills.status(), undefined)
  assert.deepEqual(events, [
    'started registry,kms by ada at 127.0.0.1',
    'stopped registry,kms by ada at 127.0.0.1',
  ])
})

it('1 where something would be lost, one line each, without control characters', async () => {
  const { portcullis } = setUp({ judgeFresh: hold })
  const { code, stdout } = await portcullis('all', '--yes')
  assert.equal(code, 1)
  assert.match(stdout, /^without registry, sigstore, rekor, kms /)
  assert.match(
    stdout,
    /served now, and would not be:\n {2}r\.test\/app:v1 hold: r\.test: ECONNREFUSED\?\[31m \(1 client of ring default, /,
  )
})

it('--json prints the report', async () => {
  const { portcullis } = setUp({ judgeFresh: hold })
  const { stdout } = await portcullis('registry', '--yes', '--json')
  const { drill, report } = JSON.parse(stdout)
  assert.deepEqual([drill.dependencies, report.counts.hold, report.findings.length], [['registry'], 1, 1])
})

it('--keep leaves it running', async () => {
  const { portcullis, drills } = setUp()
  assert.equal((await portcullis('registry', '--yes', '--keep')).code, 0)
  assert.equal(drills.isDown('registry'), true)
})

describe('confirmation', () => {
  const answers: [string, number][] = [
    ['y', 0],
    ['YES', 0],
    ['', 3],
    ['n', 3],
    ['yesterday', 3],
  ]
  for (const [answer, code] of answers) {
    it(`"${answer}" is ${code === 0 ? 'yes' : 'no'}`, async () => {
      const { portcullis, events } = setUp({
        isInteractive: true,
        ask: (question) => {
          assert.match(question, /^Take sigstore away from 127\.0\.0\.1:5001 for up to 300 s\?/)
          return Promise.resolve(answer)
        },
      })
      assert.equal((await portcullis('sigstore')).code, code)
      assert.equal(events.length, code === 0 ? 2 : 0)
    })
  }

  it('without a terminal needs --yes', async () => {
    const { portcullis, events } = setUp()
    const { code, stderr } = await portcullis('registry')
    assert.equal(code, 3)
    assert.match(stderr, /--yes/)
    assert.deepEqual(events, [])
  })
})

describe('usage', () => {
  const misused = [
    ['registry', '--yes', '--for', '2h'],
    ['registry', '--yes', '--for', '0s'],
    ['registry', '--yes', '--for', 'soon'],
    ['registry', '--yes', '--admin', 'ftp://x'],
    ['registry', '--yes', '--admin', 'nonsense'],
  ]
  for (const argv of misused) {
    it(argv.join(' '), async () => {
      const { portcullis, events } = setUp()
      assert.equal((await portcullis(...argv)).code, 3)
      assert.deepEqual(events, [])
    })
  }

  for (const argv of [[], ['dns', '--yes']]) {
    it(`drill ${argv.join(' ')}`, async () => {
      const { portcullis } = setUp()
      await assert.rejects(portcullis(...argv), { code: /^commander\./ })
    })
  }
})

describe('2 where the proxy does not answer', () => {
  const fetches: Record<string, DrillSurroundings['fetch']> = {
    'nobody listens': () => Promise.reject(new TypeError('fetch failed')),
    'something else listens': () => Promise.resolve(new Response('<html>')),
    'it has no such route': () => Promise.resolve(Response.json({}, { status: 404 })),
  }
  for (const [name, fetch] of Object.entries(fetches)) {
    it(name, async () => {
      const { portcullis } = setUp({ fetch })
      const { code, stderr } = await portcullis('registry', '--yes')
      assert.equal(code, 2)
      assert.match(stderr, /^portcullis: 127\.0\.0\.1:5001.*\n$/)
    })
  }

  it("somebody else's drill is running, and goes on", async () => {
    const { portcullis, drills } = setUp()
    drills.start({ dependencies: ['kms'], forMs: 60_000, by: 'eve' })
    const { code, stderr } = await portcullis('registry', '--yes')
    assert.equal(code, 2)
    assert.match(stderr, /a drill is running already: kms until .*, started by eve/)
    assert.equal(drills.isDown('kms'), true)
  })
})

it('Ctrl-C ends the drill, even one that was to be kept', async () => {
  const interrupt: { now: () => void } = { now: () => undefined }
  const { portcullis, events } = setUp({
    onInterrupt: (callback) => {
      interrupt.now = callback
      return () => undefined
    },
    judgeFresh: (pull, trial) => {
      interrupt.now()
      return serve(pull, trial)
    },
  })
  const { code, stderr } = await portcullis('registry', '--yes', '--keep')
  assert.equal(code, 2)
  assert.equal(stderr, 'portcullis: interrupted\n')
  assert.equal(events.length, 2)
})
