import type { Command } from 'commander'
import { parseImageReference } from '../oci/reference.ts'
import type { PullAnswer } from '../pull.ts'
import { configure } from './configure.ts'
import { EXIT, type CommandIo } from './io.ts'
import { exitOf, pullOnce } from './pull-once.ts'

type Options = { config?: string; json?: boolean; ring?: string }

export function registerVerify(program: Command, io: CommandIo): void {
  program
    .command('verify <image>')
    .description('say what the proxy would do with an image, policy by policy, and why')
    .option('-c, --config <file>', 'configuration file (default: $PORTCULLIS_CONFIG, else built-in defaults)')
    .option('--ring <name>', 'as a client of this ring gets it (default: of none that is configured)')
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
  const answer = await pullOnce({ image, config, ring: options.ring }, io)
  if (typeof answer === 'number') return answer
  io.stdout(options.json === true ? `${JSON.stringify(answerJson(answer), undefined, 2)}\n` : asText(answer))
  return exitOf(answer)
}

const WORDS = { serve: 'would be served', refuse: 'would be refused', hold: 'cannot be decided now' } as const

/** Lines that name the image, each policy and why. What they quote comes from outside in part. */
export function answerLines(answer: PullAnswer): readonly string[] {
  const { decision } = answer
  const { registry, name } = decision.subject.repository
  const lines = [`${registry}/${name}@${decision.subject.digest ?? 'unresolved'} ${WORDS[answer.kind]}`]
  for (const result of decision.results) {
    lines.push(`  policy ${result.policy} (${result.mode}): ${result.verdict}`)
    lines.push(...result.because.map((because) => `    ${because}`))
  }
  if (decision.results.length === 0) lines.push('  evidence: signatures and attestations need no policy')
  lines.push(`  decision ${decision.id}`)
  return lines.map(printable)
}

function asText(answer: PullAnswer): string {
  return `${answerLines(answer).join('\n')}\n`
}

export function answerJson(answer: PullAnswer): unknown {
  return { ...answer.decision, message: answer.kind === 'serve' ? undefined : answer.line }
}

/** What is shown comes from outside in part: no control character may reach the terminal. */
function printable(line: string): string {
  return line.replace(/[^\x20-\x7e\u00a0-\uffff]/g, '?')
}
