import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { configure } from '../cli/configure.ts'
import { EXIT, type CommandIo } from '../cli/io.ts'
import { start, type Running } from '../cli/serve.ts'
import { startRegistry, type TestRegistry } from '../testing/registry.ts'
import { createSigstore } from '../testing/sigstore.ts'
import { createTufRepository, type TufRepository } from '../testing/tuf-repository.ts'
import { startSigstoreServer, type SigstoreServer } from '../testing/sigstore-server.ts'
import { pullImage, type PullReport } from './oci-client.ts'
import { writeStage } from './configuration.ts'
import { setStage, type Scene, type Stage } from './scenes.ts'
import { createScreen, type Screen } from './screen.ts'

export type DemoOptions = {
  /** Stay up after the show, for a person to pull. */
  readonly stay: boolean
  readonly isTerminal: boolean
  /** Resolves when the person has seen enough. */
  readonly untilStopped: () => Promise<void>
}

type Theatre = {
  stage: Stage
  registry: TestRegistry
  service: SigstoreServer
  tuf: TufRepository
  /** Another proxy over the same data directory, in place of the one that runs. */
  restart(): Promise<void>
  proxyUrl: string
  screen: Screen
}

/** The whole product on one machine without network: registry, private Sigstore, images good and bad, the real proxy. */
export async function runDemo(options: DemoOptions, io: CommandIo): Promise<number> {
  const screen = createScreen((text) => io.stdout(text), options.isTerminal)
  const directory = await mkdtemp(join(tmpdir(), 'portcullis-demo-'))
  await using registry = await startRegistry()
  const sigstore = await createSigstore()
  await using service = await startSigstoreServer(sigstore)
  try {
    screen.title('Portcullis demo: a registry, a private Sigstore, and the proxy between you and them')
    const stage = await setStage(registry, sigstore)
    await using tuf = await createTufRepository({ targets: { 'trusted_root.json': stage.trustedRoot } })
    const config = await configure(await writeStage(directory, { registry, tuf }, stage), io)
    let running = config === undefined ? undefined : await start(config, io)
    if (config === undefined || running === undefined) return EXIT.usage
    const theatre: Theatre = {
      stage,
      registry,
      service,
      tuf,
      screen,
      proxyUrl: urlOf(running),
      async restart() {
        await running?.stop()
        running = await start(config, io)
        if (running === undefined) throw new TypeError('the proxy does not start again')
        theatre.proxyUrl = urlOf(running)
      },
    }
    try {
      const unexpected = await play(theatre)
      if (options.stay) await waitForPerson(theatre, options)
      return unexpected === 0 ? EXIT.ok : EXIT.refused
    } finally {
      await running?.stop()
    }
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

function urlOf({ data }: Running): string {
  return `http://127.0.0.1:${data.address.port}`
}

/** Plays all acts and returns how many pulls came out otherwise than they should. */
async function play(theatre: Theatre): Promise<number> {
  const { screen, stage, registry, service, tuf } = theatre
  screen.line(`  registry ${registry.url}, Sigstore ${service.url}, trust root by TUF ${tuf.url}`)
  screen.line(`  proxy ${theatre.proxyUrl}`)
  screen.line('  policies for shop, payments and base, all in enforce mode')

  screen.title('1. Everything is up: pull each image through the proxy')
  let unexpected = await pullAll(theatre, stage.scenes, ({ expected }) => expected)

  screen.line(`  requests that Sigstore saw meanwhile: ${service.requests.length}`)

  screen.title(
    '2. Registry, Sigstore and the trust mirror are gone: what was verified is still served, the rest still refused',
  )
  await Promise.all([registry.stop(), service.stop(), tuf.fault('refused')])
  const judged = stage.scenes.filter(({ expected }) => expected.status !== 502)
  unexpected += await pullAll(theatre, judged, ({ expected }) => expected)
  const unseen = {
    repository: 'shop',
    tag: 'v2.0.0',
    about: 'never seen before',
    expected: { status: 503, says: 'held' },
  }
  unexpected += await pullAll(theatre, [unseen], ({ expected }) => expected)

  screen.title(
    '3. And the proxy is restarted: the same from disk, verified again; what it cannot know is held',
  )
  await theatre.restart()
  unexpected += await pullAll(theatre, judged, ({ expected }) =>
    expected.status === 200 ? expected : { status: 503, says: 'held' },
  )
  await Promise.all([registry.restart(), tuf.fault(undefined)])

  screen.title(
    unexpected === 0 ? 'All as promised.' : `${unexpected} pulls came out otherwise than promised.`,
  )
  return unexpected
}

async function pullAll(
  { proxyUrl, registry, screen }: Theatre,
  scenes: readonly Scene[],
  expectation: (scene: Scene) => Scene['expected'],
): Promise<number> {
  let unexpected = 0
  for (const scene of scenes) {
    // oxlint-disable-next-line no-await-in-loop -- one after another, as a person would
    const report = await pullImage(proxyUrl, `${registry.host}/${scene.repository}`, scene.tag)
    const isExpected = matches(report, expectation(scene))
    if (!isExpected) unexpected += 1
    screen.row(scene, report, isExpected)
  }
  return unexpected
}

function matches(report: PullReport, expected: Scene['expected']): boolean {
  return report.status === expected.status && report.message.includes(expected.says ?? '')
}

async function waitForPerson(
  { stage, registry, proxyUrl, screen }: Theatre,
  options: DemoOptions,
): Promise<void> {
  const proxy = new URL(proxyUrl).host
  screen.title('Try it yourself; Ctrl-C ends it')
  for (const { repository, tag, about } of stage.scenes) {
    screen.line(`  docker pull ${proxy}/${registry.host}/${repository}:${tag}    # ${about}`)
  }
  await options.untilStopped()
}
