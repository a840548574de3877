import { createInterface } from 'node:readline/promises'
import { Argument, type Command } from 'commander'
import * as z from 'zod'
import { parseDuration } from '../policy/duration.ts'
import { DRILL_DEPENDENCIES, DRILL_MS_MAX, type DrillDependency } from '../drill.ts'
import { EXIT, type CommandIo } from './io.ts'

type Options = { for: string; admin: string; yes?: boolean; json?: boolean; keep?: boolean }

/** What the command needs beside its output: somebody who answers, and the network. */
export type DrillSurroundings = {
  readonly isInteractive: boolean
  ask(question: string): Promise<string>
  /** Calls back at Ctrl-C; returns what ends that. */
  onInterrupt(callback: () => void): () => void
  readonly fetch: typeof globalThis.fetch
}

type Plan = {
  readonly dependencies: readonly DrillDependency[]
  readonly seconds: number
  readonly admin: URL
}

/** A proxy that does not answer, or not as one. */
class AdminError extends Error {
  override readonly name = 'AdminError'
  readonly code: 'unreachable' | 'refused'

  constructor(code: AdminError['code'], message: string, cause?: unknown) {
    super(message, { cause })
    this.code = code
  }
}

/** Whoever changes something waits until all workers go by it, up to 20 s for each change that is on its way. */
const CALL_MS_MAX = 60_000
/** What the proxy takes as a name. */
const BY_LENGTH_MAX = 64
/** Up to a thousand pulls, each as cold as after a start. */
const REPLAY_MS_MAX = 300_000

const DrillDocument = z.object({ dependencies: z.array(z.string()), endsAt: z.string() })
const Outcome = z.enum(['serve', 'admitted', 'hold', 'refuse'])
const Report = z.object({
  counts: z.record(Outcome, z.int()),
  left: z.int(),
  findings: z.array(
    z.object({
      kind: z.enum(['lost', 'let-in']),
      image: z.string(),
      ring: z.string(),
      clients: z.int(),
      lastAt: z.string(),
      outcome: Outcome,
      why: z.string(),
    }),
  ),
})
const Replayed = z.object({ drill: DrillDocument.nullable(), report: Report })
type Replayed = z.output<typeof Replayed>

export function registerDrill(
  program: Command,
  io: CommandIo,
  surroundings: DrillSurroundings = processSurroundings(),
): void {
  program
    .command('drill')
    .description('take dependencies away from a running proxy, and say what recent pulls would come to')
    .addArgument(new Argument('<dependencies...>').choices([...DRILL_DEPENDENCIES, 'all']))
    .option('--for <duration>', 'when the drill ends even if nobody ends it, at most 1h', '5m')
    .option('--admin <url>', 'admin listener of the proxy', 'http://127.0.0.1:5001')
    .option('--yes', 'do not ask')
    .option('--keep', 'leave the dependencies away until the drill ends by itself')
    .option('--json', 'print the report as JSON')
    .addHelpText(
      'after',
      '\nExit codes: 0 nothing that is served now would be lost, 1 something would, 2 the proxy does not answer, 3 usage.',
    )
    .action(async (names: string[], options: Options) =>
      io.exit(await drill(names, options, { ...io, ...surroundings })),
    )
}

async function drill(
  names: readonly string[],
  options: Options,
  io: CommandIo & DrillSurroundings,
): Promise<number> {
  const plan = planOf(names, options)
  if (typeof plan === 'string') {
    io.stderr(`portcullis: ${plan}\n`)
    return EXIT.usage
  }
  if (options.yes !== true && !(await isWanted(plan, io))) return EXIT.usage
  const interrupt = new AbortController()
  const forget = io.onInterrupt(() => interrupt.abort())
  try {
    const replayed = await run(plan, { keep: options.keep === true, signal: interrupt.signal }, io)
    io.stdout(options.json === true ? `${JSON.stringify(replayed, undefined, 2)}\n` : asText(plan, replayed))
    return isLoss(replayed) ? EXIT.refused : EXIT.ok
  } catch (error) {
    if (interrupt.signal.aborted) io.stderr('portcullis: interrupted\n')
    else if (error instanceof AdminError) io.stderr(`portcullis: ${error.message}\n`)
    else throw error
    return EXIT.undetermined
  } finally {
    forget()
  }
}

/** The plan, or what is wrong with what was asked for. */
function planOf(names: readonly string[], options: Options): Plan | string {
  const forMs = parseDuration(options.for) ?? 0
  if (forMs < 1_000 || forMs > DRILL_MS_MAX) return `--for ${options.for}: expected 1s to 1h such as 5m`
  const admin = URL.parse(options.admin)
  if (admin === null || !/^https?:$/.test(admin.protocol)) return `--admin ${options.admin} is no http URL`
  const dependencies = DRILL_DEPENDENCIES.filter((name) => names.includes('all') || names.includes(name))
  return { dependencies, seconds: Math.floor(forMs / 1_000), admin }
}

async function isWanted(
  { dependencies, seconds, admin }: Plan,
  io: CommandIo & DrillSurroundings,
): Promise<boolean> {
  if (!io.isInteractive) {
    io.stderr('portcullis: nobody is there to confirm; say --yes\n')
    return false
  }
  const what = `Take ${dependencies.join(', ')} away from ${admin.host} for up to ${seconds} s?`
  const answer = await io.ask(`${what} Pulls that need them will be held. [y/N] `)
  if (/^y(?:es)?$/i.test(answer.trim())) return true
  io.stderr('portcullis: nothing was taken away\n')
  return false
}

/** Begins the drill, replays, and ends it whatever happens. */
async function run(
  plan: Plan,
  { keep, signal }: { keep: boolean; signal: AbortSignal },
  io: CommandIo & DrillSurroundings,
): Promise<Replayed> {
  const { dependencies, seconds } = plan
  const by = io.env['USER'] ?? io.env['LOGNAME']
  const who = by === undefined ? {} : { by: plain(by).slice(0, BY_LENGTH_MAX) }
  const body = { dependencies, seconds, confirm: dependencies, ...who }
  let state: 'unknown' | 'begun' | 'over' = 'unknown'
  try {
    try {
      await call(io.fetch, { plan, method: 'POST', path: 'drill', body, signal: within(CALL_MS_MAX, signal) })
      state = 'begun'
    } catch (error) {
      // Then there is nothing to end, but perhaps somebody else's drill to leave alone.
      if (error instanceof AdminError && error.code === 'refused') state = 'over'
      throw error
    }
    const limit = within(REPLAY_MS_MAX, signal)
    const answer = await call(io.fetch, { plan, method: 'POST', path: 'drill/replay', signal: limit })
    const replayed = Replayed.safeParse(answer)
    if (!replayed.success) throw new AdminError('refused', `${plan.admin.host} gave no report of a replay`)
    signal.throwIfAborted()
    if (keep) state = 'over'
    return replayed.data
  } finally {
    if (state !== 'over' && !(await isEnded(plan, io)) && state === 'begun') {
      io.stderr(`portcullis: the drill could not be ended; it ends by itself ${seconds} s after its start\n`)
    }
  }
}

async function isEnded(plan: Plan, { fetch }: DrillSurroundings): Promise<boolean> {
  try {
    await call(fetch, { plan, method: 'DELETE', path: 'drill', signal: AbortSignal.timeout(CALL_MS_MAX) })
    return true
  } catch {
    return false
  }
}

function within(ms: number, signal: AbortSignal): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(ms)])
}

type Call = {
  readonly plan: Plan
  readonly method: 'POST' | 'DELETE'
  readonly path: string
  readonly body?: unknown
  readonly signal: AbortSignal
}

async function call(
  fetch: DrillSurroundings['fetch'],
  { plan, method, path, body, signal }: Call,
): Promise<unknown> {
  const { host, href } = plan.admin
  let response: Response
  let json: unknown
  try {
    const headers = { 'content-type': 'application/json' }
    const init = { method, headers, signal, redirect: 'error' as const }
    const url = new URL(path, href.endsWith('/') ? href : `${href}/`)
    response = await fetch(url, body === undefined ? init : { ...init, body: JSON.stringify(body) })
    json = await response.json()
  } catch (error) {
    throw new AdminError('unreachable', `${host} does not answer as the admin listener of a proxy`, error)
  }
  if (response.ok) return json
  const said = z.object({ error: z.string() }).safeParse(json)
  const what = said.success ? plain(said.data.error) : `answered ${response.status}`
  throw new AdminError('refused', `${host}: ${what}`)
}

function isLoss({ report }: Replayed): boolean {
  return report.left > 0 || report.findings.some(({ kind }) => kind === 'lost')
}

function asText(plan: Plan, { drill: running, report }: Replayed): string {
  const { serve, admitted, hold, refuse } = report.counts
  const rows = [
    ['served', serve, ''],
    ['admitted', admitted, '  by stance last-verified or open'],
    ['held', hold, ''],
    ['refused', refuse, ''],
  ] as const
  const until =
    running === null ? 'the drill had ended before the replay' : `until ${running.endsAt} at the latest`
  const lines = [
    `without ${plan.dependencies.join(', ')} (${until}), a proxy that starts would answer recent pulls so:`,
    ...rows.map(([name, count, note]) => `  ${name.padEnd(9)}${String(count).padStart(5)}${note}`),
    ...(serve + admitted + hold + refuse === 0
      ? ['  nothing was pulled lately, so this proves nothing']
      : []),
    ...(report.left === 0 ? [] : [`  not asked${String(report.left).padStart(5)}  time was up`]),
    ...section(report, 'lost', 'served now, and would not be:'),
    ...section(report, 'let-in', 'not served now, and would be:'),
  ]
  return `${lines.map(plain).join('\n')}\n`
}

function section({ findings }: Replayed['report'], wanted: string, title: string): readonly string[] {
  const found = findings.filter(({ kind }) => kind === wanted)
  if (found.length === 0) return []
  const lines = found.map(
    ({ image, ring, outcome, clients, lastAt, why }) =>
      `  ${image} ${outcome}: ${why} (${clients} ${clients === 1 ? 'client' : 'clients'} of ring ${ring}, last ${lastAt})`,
  )
  return [title, ...lines]
}

/** Part of what is shown comes from outside: no control character may reach the terminal. */
function plain(line: string): string {
  return line.replaceAll(/[^\x20-\x7e]/g, '?')
}

function processSurroundings(): DrillSurroundings {
  return {
    isInteractive: process.stdin.isTTY && process.stderr.isTTY,
    async ask(question) {
      const lines = createInterface({ input: process.stdin, output: process.stderr })
      try {
        return await lines.question(question)
      } finally {
        lines.close()
      }
    },
    onInterrupt(callback) {
      process.once('SIGINT', callback)
      process.once('SIGTERM', callback)
      return () => void process.off('SIGINT', callback).off('SIGTERM', callback)
    },
    fetch: globalThis.fetch,
  }
}
