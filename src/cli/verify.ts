import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Command } from 'commander'
import { createDeps, type Deps } from '../deps.ts'
import { parseImageReference, type ImageReference } from '../oci/reference.ts'
import type { PullAnswer } from '../pull.ts'
import { UpstreamError } from '../upstream/types.ts'
import { configure } from './configure.ts'
import { EXIT, type CommandIo } from './io.ts'

type Options = { config?: string; json?: boolean }

export function registerVerify(program: Command, io: CommandIo): void {
  program
    .command('verify <image>')
    .description('say what the proxy would do with an image, policy by policy, and why')
    .option('-c, --config <file>', 'configuration file (default: $PORTCULLIS_CONFIG, else built-in defaults)')
    .option('--json', 'print the decision as JSON')
    .addHelpText(
      'after',
      '\nExit codes: 0 served, 1 refused, 2 undetermined (or not to be had), 3 usage or configuration.',
    )
    .action(async (name: string, options: Options) => io.exit(await verify(name, options, io)))
}

async function verify(name: string, options: Options, io: CommandIo): Promise<number> {
  const image = parseImageReference(name)
  if (image === undefined) {
    io.stderr(`portcullis: ${name} is not an image name; expected registry/repository:tag or …@sha256:…\n`)
    return EXIT.usage
  }
  const config = await configure(options.config, io)
  if (config === undefined) return EXIT.usage
  // A store of its own: nothing that a running proxy has cached colours the answer.
  const dataDirectory = await mkdtemp(join(tmpdir(), 'portcullis-verify-'))
  try {
    const created = await createDeps({ ...config, dataDirectory, log: { level: 'silent' } })
    if (!created.ok) {
      io.stderr(created.problems.map((problem) => `${problem}\n`).join(''))
      return EXIT.usage
    }
    try {
      return await verifyWith(created.deps, image, options, io)
    } finally {
      await created.deps.close()
    }
  } finally {
    await rm(dataDirectory, { recursive: true, force: true })
  }
}

async function verifyWith(
  deps: Deps,
  image: ImageReference,
  options: Options,
  io: CommandIo,
): Promise<number> {
  try {
    const answer = await deps.puller.pull({ ...image, client: 'command line', deadline: deps.app.deadline })
    io.stdout(options.json === true ? `${JSON.stringify(asJson(answer), undefined, 2)}\n` : asText(answer))
    return answer.kind === 'serve' ? EXIT.ok : answer.kind === 'refuse' ? EXIT.refused : EXIT.undetermined
  } catch (error) {
    if (!(error instanceof UpstreamError)) throw error
    io.stderr(`portcullis: ${error.message}\n`)
    return EXIT.undetermined
  }
}

const WORDS = { serve: 'would be served', refuse: 'would be refused', hold: 'cannot be decided now' } as const

function asText(answer: PullAnswer): string {
  const { decision } = answer
  const { registry, name } = decision.subject.repository
  const lines = [`${registry}/${name}@${decision.subject.digest ?? 'unresolved'} ${WORDS[answer.kind]}`]
  for (const result of decision.results) {
    lines.push(`  policy ${result.policy} (${result.mode}): ${result.verdict}`)
    lines.push(...result.because.map((because) => `    ${because}`))
  }
  if (decision.results.length === 0) lines.push('  evidence: signatures and attestations need no policy')
  lines.push(`  decision ${decision.id}`)
  return `${lines.map(printable).join('\n')}\n`
}

function asJson(answer: PullAnswer): unknown {
  const { decision } = answer
  const { key: _key, ...rest } = decision
  return { ...rest, message: answer.kind === 'serve' ? undefined : answer.line }
}

/** What is shown comes from outside in part: no control character may reach the terminal. */
function printable(line: string): string {
  return line.replace(/[^\x20-\x7e\u00a0-\uffff]/g, '?')
}
