import assert from 'node:assert/strict'
import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, it } from 'node:test'
import { Command } from 'commander'
import { refusePages } from '../admin/cross-site.ts'
import { createRolloutRoutes } from '../admin/rollout.ts'
import { serveRoutes } from '../admin/testing/serve-routes.ts'
import { DAY_MS } from '../rollout/criteria.ts'
import { noteStages } from '../rollout/stages.ts'
import { policyOf, RINGS, setOf, sightingOf, UNSIGNED } from '../rollout/testing/rollout.ts'
import { openState } from '../store/testing/state.ts'
import { configure } from './configure.ts'
import { versionOnDisk } from './rollout-edit.ts'
import { registerRollout } from './rollout.ts'

const POLICY = `# Who may sign.
apiVersion: portcullis.dev/v1alpha1
kind: ImagePolicy
metadata:
  name: signed
spec:
  mode: observe # for now
  images: [{ glob: "ghcr.io/acme/**" }]
  authorities: [{ name: any, static: { action: pass } }]
`

async function rulesOf(directory: string) {
  const silent = { stdout: () => undefined, stderr: assert.fail, env: {}, exit: () => undefined }
  return (await configure(join(directory, 'portcullis.yaml'), silent)) ?? assert.fail()
}

type Setting = { policies?: 'directory' | 'none' | 'elsewhere'; isDown?: boolean }

async function setUp({ policies = 'directory', isDown = false }: Setting = {}) {
  const directory = await mkdtemp(join(tmpdir(), 'rollout-'))
  const file = join(directory, 'policies', 'signed.yaml')
  await mkdir(join(directory, 'policies'))
  await writeFile(file, policies === 'elsewhere' ? POLICY.replace('name: signed', 'name: other') : POLICY)
  const config = policies === 'none' ? {} : { policies: { directory: 'policies' } }
  await writeFile(join(directory, 'portcullis.yaml'), JSON.stringify(config))
  const onDisk = await versionOnDisk(await rulesOf(directory), 'signed')
  const version = 'version' in onDisk ? onDisk.version : 'sha256:signed'
  const { state, clock } = openState()
  const set = setOf(policyOf('signed', { version }))
  const now = () => new Date(clock.ms)
  noteStages(set, now(), { rings: RINGS, state })
  const settle = () => Promise.resolve()
  const deps = { policies: () => set, rings: RINGS, state, settle, now, pause: settle }
  const server = await serveRoutes(createRolloutRoutes(deps, refusePages(new Set())))
  const asked: string[] = []
  let onAsk = (): Promise<void> => Promise.resolve()
  const portcullis = async (...argv: string[]) => {
    const ended = { code: -1, stdout: '', stderr: '' }
    const io = {
      stdout: (text: string) => void (ended.stdout += text),
      stderr: (text: string) => void (ended.stderr += text),
      env: { USER: 'ada' },
      exit: (code: number) => void (ended.code = code),
    }
    const program = new Command('portcullis').exitOverride().configureOutput({ writeErr: io.stderr })
    registerRollout(program, io, async (url, init) => {
      assert.ok(url instanceof URL)
      asked.push(url.host)
      await onAsk()
      if (isDown) throw new TypeError('fetch failed')
      return await fetch(new URL(`${url.pathname}${url.search}`, server.url), init)
    })
    const file = ['--config', join(directory, 'portcullis.yaml')]
    await program.parseAsync(['rollout', ...argv, ...file], { from: 'user' })
    return ended
  }
  const earn = (...sightings: Parameters<typeof state.noteSightings>[0]) => {
    clock.ms += 8 * DAY_MS
    const at = new Date(clock.ms - DAY_MS)
    const satisfied = ['a', 'b'].map((name) => sightingOf(name, 'signed', { pulls: 2 }))
    state.noteSightings(
      [...satisfied, ...sightings].map((one) => ({
        ...one,
        at,
        results: one.results.map((result) => ({ ...result, version })),
      })),
    )
  }
  return {
    portcullis,
    state,
    asked,
    onAsk: (callback: () => Promise<void>) => void (onAsk = callback),
    earn,
    file,
    text: () => readFile(file, 'utf8'),
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

const ENFORCED = POLICY.replace(
  '  mode: observe # for now\n',
  '  mode: observe # for now\n  rings:\n    beta: enforce\n',
)

describe('rollout status', () => {
  it('is a table of 120 columns, then what is in the way, with the images', async () => {
    await using setting = await setUp()
    const long = `unsigned: ${'x'.repeat(300)}\u001b[31m`
    setting.earn(
      sightingOf('gap', 'signed', { pulls: 9, isSigned: false, result: UNSIGNED }),
      sightingOf('prod-gap', 'signed', { ring: 'prod', result: { ...UNSIGNED, because: long } }),
    )
    const { code, stdout } = await setting.portcullis('status')
    assert.equal(code, 0)
    const [table = '', ...blocks] = stdout.split('\n\n')
    for (const line of table.split('\n')) assert.ok(line.length <= 120, line)
    assert.match(table, /\n> signed +beta +observe +8\.0 +13 +3 +67% +0% +1 \(33%\) {2}3\/4\n/)
    assert.match(table, /\n {2}signed +default +observe +8\.0 +0 +0 +- +- +0 {2}2\/4\n/)
    const [beta = '', prod = ''] = blocks
    assert.match(beta, /^signed in ring beta, observe since 1970-01-01T00:16:40\.000Z\n/)
    assert.match(beta, /\n {2}not yet: would-blocks: 1 of at most 0\n/)
    assert.match(beta, /\n {2}1 image, 9 pulls: unsigned: no signature at all, expected one by release\n/)
    assert.match(beta, /\n {4}ghcr\.io\/acme\/gap@sha256:[0-9a-f]{64} \(v1\): 9 pulls, last 1970-01-08T/)
    assert.ok(prod.includes('?[31m') && !stdout.includes('\u001b'))
  })

  it('shows what is ready, one policy and one ring, and the same as JSON', async () => {
    await using setting = await setUp()
    setting.earn()
    const { stdout } = await setting.portcullis('status', '--policy', 'signed', '--ring', 'beta')
    assert.match(stdout, /^ {2}policy.*\n> signed +beta +observe .* ready\n$/)
    const json = JSON.parse((await setting.portcullis('status', '--policy', 'signed', '--json')).stdout)
    assert.equal(json.rows.length, 3)
    const unknown = await setting.portcullis('status', '--policy', 'sined')
    assert.deepEqual([unknown.code, unknown.stderr], [3, 'portcullis: there is no such policy or ring\n'])
  })
})

it('rollout gaps lists the images and why', async () => {
  await using setting = await setUp()
  assert.match((await setting.portcullis('gaps')).stdout, /^nothing that is pulled would be blocked\n$/)
  setting.earn(sightingOf('gap', 'signed', { pulls: 9, result: UNSIGNED }))
  const { code, stdout } = await setting.portcullis('gaps', '--policy', 'signed')
  assert.equal(code, 0)
  assert.match(
    stdout,
    /^signed in ring beta.*\n {2}ghcr\.io\/acme\/gap@.*: 9 pulls, last .*\n {4}block: unsigned: no signature at all/,
  )
})

describe('rollout promote', () => {
  it('refuses with what is not met; nothing is recorded and nothing written', async () => {
    await using setting = await setUp()
    const { code, stderr } = await setting.portcullis('promote', 'signed', 'beta')
    assert.equal(code, 1)
    assert.match(stderr, /not every criterion holds\n {2}days: 0 of at least 7\n/)
    assert.match(stderr, /--override REASON/)
    assert.equal(await setting.text(), POLICY)
    assert.deepEqual(setting.state.promotions(10), [])
  })

  it('records what is earned and writes the one line, with the permissions that the file had', async () => {
    await using setting = await setUp()
    await chmod(setting.file, 0o640)
    setting.earn()
    const { code, stdout, stderr } = await setting.portcullis('promote', 'signed', 'beta', '--by', 'grace')
    assert.equal(code, 0, stderr)
    assert.match(
      stdout,
      /^promotion 1 .* policy signed in ring beta: observe -> enforce, by grace at 127\.0\.0\.1/,
    )
    assert.match(stdout, /wrote .*signed\.yaml: spec\.rings\.beta: enforce\. The proxy loads it/)
    assert.equal(await setting.text(), ENFORCED)
    assert.equal((await stat(setting.file)).mode & 0o777, 0o640)
    assert.deepEqual(
      setting.state.promotions(10).map(({ by }) => by),
      ['grace at 127.0.0.1'],
    )
  })

  it('--override records the reason, and history shows it', async () => {
    await using setting = await setUp()
    const promoted = await setting.portcullis('promote', 'signed', 'beta', '--override', 'the fair')
    assert.equal(promoted.code, 0, promoted.stderr)
    assert.match(promoted.stdout, /\n {2}overridden: the fair\n {2}not met: days: 0 of at least 7\n/)
    assert.equal(await setting.text(), ENFORCED)
    const { stdout } = await setting.portcullis('history')
    assert.match(
      stdout,
      /^promotion 1 .*: observe -> enforce, by ada at 127\.0\.0\.1\n {2}overridden: the fair\n$/,
    )
    assert.equal(JSON.parse((await setting.portcullis('history', '--json')).stdout).length, 1)
  })

  it('--print records and shows the change, --dry-run only shows', async () => {
    await using setting = await setUp()
    setting.earn()
    for (const [flag, recorded] of [
      ['--dry-run', 0],
      ['--print', 1],
    ] as const) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const { code, stdout } = await setting.portcullis('promote', 'signed', 'beta', flag)
      assert.equal(code, 0)
      assert.match(
        stdout,
        /\n@@ -5,5 \+5,7 @@\n.*\n spec:\n {3}mode: observe # for now\n\+ {2}rings:\n\+ {4}beta: enforce\n/,
      )
      assert.equal(setting.state.promotions(10).length, recorded, flag)
    }
    assert.equal(await setting.text(), POLICY)
  })

  it('asks nobody where it could not write the change', async () => {
    await using setting = await setUp({ policies: 'elsewhere' })
    setting.earn()
    const { code, stderr } = await setting.portcullis('promote', 'signed', 'beta')
    assert.equal(code, 3)
    assert.match(stderr, /found no ImagePolicy signed below .*policies/)
    assert.deepEqual([setting.asked, setting.state.promotions(10)], [[], []])
  })

  for (const [name, text, expected] of [
    [
      'demands something else than what was observed',
      POLICY.replace('action: pass', 'action: fail'),
      /has been changed and demands something else/,
    ],
    ['would not be loaded', `${POLICY}  unknown: 1\n`, /no proxy loads these policies: .*signed\.yaml:\d+/],
  ] as const) {
    it(`refuses to enforce what is on disk where it ${name}; the way back stays open`, async () => {
      await using setting = await setUp()
      setting.earn()
      await writeFile(setting.file, text)
      const { code, stderr } = await setting.portcullis('promote', 'signed', 'beta', '--override', 'the fair')
      assert.equal(code, 3)
      assert.match(stderr, expected)
      assert.deepEqual([await setting.text(), setting.state.promotions(10)], [text, []])
      const back = await setting.portcullis('promote', 'signed', 'beta', '--to', 'observe')
      assert.match(back.stderr, /is in mode observe in ring beta already/)
    })
  }

  it('without a directory says what to write', async () => {
    await using setting = await setUp({ policies: 'none' })
    setting.earn()
    const { code, stdout } = await setting.portcullis('promote', 'signed', 'beta')
    assert.equal(code, 0)
    assert.match(stdout, /set spec\.rings\.beta: enforce of policy signed where it is kept\n/)
  })

  it('that is recorded and cannot be written says so, and what to do', async () => {
    await using setting = await setUp()
    setting.earn()
    setting.onAsk(async () => await writeFile(setting.file, `# Somebody was here.\n${POLICY}`))
    const { code, stderr } = await setting.portcullis('promote', 'signed', 'beta')
    assert.equal(code, 2)
    assert.match(
      stderr,
      /^portcullis: promotion 1 is recorded and not in force: .*signed\.yaml was changed in the mean/,
    )
    assert.match(stderr, /Set spec\.rings\.beta: enforce of policy signed by hand/)
    assert.equal(await setting.text(), `# Somebody was here.\n${POLICY}`)
    setting.onAsk(() => Promise.resolve())
    const again = await setting.portcullis('promote', 'signed', 'beta')
    assert.match(again.stdout, /^promotion 1 .*\n {2}it is on record already and not in force yet/)
    assert.equal(await setting.text(), `# Somebody was here.\n${ENFORCED}`)
    assert.equal(setting.state.promotions(10).length, 1)
  })

  it('writes through a link, and leaves the link', async () => {
    await using setting = await setUp()
    setting.earn()
    const real = join(dirname(dirname(setting.file)), 'real.yaml')
    await rename(setting.file, real)
    await symlink(real, setting.file)
    assert.equal((await setting.portcullis('promote', 'signed', 'beta')).code, 0)
    assert.ok((await lstat(setting.file)).isSymbolicLink())
    assert.equal(await readFile(real, 'utf8'), ENFORCED)
  })

  it('that nobody answers is undetermined', async () => {
    await using setting = await setUp({ isDown: true })
    const { code, stderr } = await setting.portcullis('promote', 'signed', 'beta')
    assert.equal(code, 2)
    assert.match(stderr, /^portcullis: 127\.0\.0\.1:5001 does not answer as the admin listener of a proxy\n$/)
    assert.equal(await setting.text(), POLICY)
  })

  it('asks where --admin says', async () => {
    await using setting = await setUp()
    await setting.portcullis('status', '--admin', 'http://edge.test:9000')
    assert.deepEqual(setting.asked, ['edge.test:9000'])
    assert.equal((await setting.portcullis('status', '--admin', 'edge')).code, 3)
  })

  for (const [name, ...argv] of [
    ['an unknown policy', 'sined', 'beta'],
    ['an unknown ring', 'signed', 'gamma'],
    ['the mode that it has', 'signed', 'beta', '--to', 'observe'],
    ['an empty reason', 'signed', 'beta', '--override', ''],
  ] as const) {
    it(`is a slip for ${name}`, async () => {
      await using setting = await setUp()
      assert.equal((await setting.portcullis('promote', ...argv)).code, 3)
      assert.equal(await setting.text(), POLICY)
    })
  }
})
