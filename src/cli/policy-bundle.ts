import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { InvalidArgumentError, type Command } from 'commander'
import { bundleImageSchema } from '../config/policy-bundle-schema.ts'
import type { Config } from '../config/schema.ts'
import { createDeps } from '../deps.ts'
import { parseImageReference, parseTag } from '../oci/reference.ts'
import { problemText } from '../policy/problem.ts'
import { packBundle } from '../policy-source/bundle/pack.ts'
import { DirectorySource } from '../policy-source/directory.ts'
import type { PolicyKeeper } from '../policy-source/keeper.ts'
import { originText } from '../policy-source/source.ts'
import { isMissing } from '../store/error.ts'
import { configure } from './configure.ts'
import { EXIT, type CommandIo } from './io.ts'

type PackFlags = {
  readonly out: string
  readonly serial: number
  readonly expires?: string
  readonly tag: string
}
type VerifyFlags = { readonly config?: string; readonly json?: boolean }

export function registerPolicyBundle(policy: Command, io: CommandIo): void {
  const bundle = policy.command('bundle').description('make and check signed policy bundles')
  bundle
    .command('pack <directory>')
    .description('write a policies directory as an OCI image layout, to be pushed and signed')
    .requiredOption('--out <layout>', 'directory to write; empty, or not there yet')
    .requiredOption('--serial <number>', 'higher than that of every bundle before', serialOf)
    .option('--expires <time>', 'RFC 3339: from then on no proxy takes it that does not have it', timeOf)
    .option('--tag <tag>', 'under which copying tools find it in the layout', tagOf, 'latest')
    .addHelpText('after', PACK_HELP)
    .action(async (directory: string, flags: PackFlags) => io.exit(await pack(directory, flags, io)))
  bundle
    .command('verify [image]')
    .description(
      'say whether a proxy with this configuration would take a bundle (default: policies.bundle.image)',
    )
    .option('-c, --config <file>', 'configuration file (default: $PORTCULLIS_CONFIG, else built-in defaults)')
    .option('--json', 'print it as JSON')
    .addHelpText('after', '\nExit codes: 0 taken, 1 refused, 2 not to be had now, 3 usage or configuration.')
    .action(async (image: string | undefined, flags: VerifyFlags) => io.exit(await verify(image, flags, io)))
}

const PACK_HELP = `
The same files and options always give the same digest. Then, for example:
  skopeo copy oci:<layout>:<tag> docker://ghcr.io/acme/policies:<tag>
  cosign sign --key awskms:///alias/policies ghcr.io/acme/policies@<digest>`

function serialOf(text: string): number {
  if (/^[1-9][0-9]{0,14}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('expected a whole number from 1')
}

function timeOf(text: string): string {
  const time = new Date(text)
  if (!/^\d{4}-\d{2}-\d{2}/.test(text) || Number.isNaN(time.getTime()))
    throw new InvalidArgumentError('expected a time such as 2027-01-31T12:00:00Z')
  return time.toISOString()
}

function tagOf(text: string): string {
  const tag = parseTag(text)
  if (tag !== undefined) return tag
  throw new InvalidArgumentError('expected a tag')
}

async function pack(directory: string, flags: PackFlags, io: CommandIo): Promise<number> {
  const { out, serial, expires, tag } = flags
  const reading = await new DirectorySource({ directory, lookEveryMs: undefined }).read()
  if (!reading.ok) {
    io.stderr(reading.problems.map((problem) => `portcullis: ${problemText(problem)}\n`).join(''))
    return EXIT.usage
  }
  const packed = packBundle(reading.files, { serial, expires, tag })
  if (!packed.ok) {
    io.stderr(`portcullis: ${directory}: ${packed.problem}\n`)
    return EXIT.usage
  }
  if (!(await isEmpty(out))) {
    io.stderr(`portcullis: ${out} is not empty; expected a directory for this bundle alone\n`)
    return EXIT.usage
  }
  for (const [path, bytes] of packed.files) {
    const file = join(out, path)
    // oxlint-disable-next-line no-await-in-loop -- a few small files
    await mkdir(dirname(file), { recursive: true })
    // oxlint-disable-next-line no-await-in-loop -- likewise
    await writeFile(file, bytes)
  }
  io.stdout(`${packed.digest}\n`)
  return EXIT.ok
}

async function isEmpty(directory: string): Promise<boolean> {
  try {
    return (await readdir(directory)).length === 0
  } catch (error) {
    if (isMissing(error)) return true
    throw error
  }
}

async function verify(image: string | undefined, flags: VerifyFlags, io: CommandIo): Promise<number> {
  const configured = await configure(flags.config, io)
  if (configured === undefined) return EXIT.usage
  const config = withImage(configured, image)
  if (typeof config === 'string') {
    io.stderr(`portcullis: ${config}\n`)
    return EXIT.usage
  }
  // A data directory of its own: whether it would be a step back for a proxy that runs is for that one to say.
  const dataDirectory = await mkdtemp(join(tmpdir(), 'portcullis-bundle-'))
  try {
    const created = await createDeps({ ...config, dataDirectory, log: { level: 'silent' } })
    if (!created.ok) {
      io.stderr(created.problems.map((problem) => `portcullis: ${problem}\n`).join(''))
      return EXIT.usage
    }
    const { deps } = created
    try {
      return tell(deps.policies, flags, io)
    } finally {
      await deps.close()
    }
  } finally {
    await rm(dataDirectory, { recursive: true, force: true })
  }
}

/** The same configuration about this image, or why there is none. */
function withImage(config: Config, image: string | undefined): Config | string {
  const { bundle } = config.policies
  if (bundle === undefined)
    return 'the configuration has no policies.bundle, which says whose signatures count'
  if (image === undefined) return config
  const parsed = bundleImageSchema.safeParse(image)
  const registry = parsed.success ? parseImageReference(parsed.data)?.repository.registry : undefined
  if (!parsed.success || registry === undefined)
    return `${image} is not an image name; expected registry/repository:tag or …@sha256:…`
  if (!config.upstreams.has(registry))
    return `${registry} is not one of upstreams; add it, with its credentials`
  return { ...config, policies: { ...config.policies, bundle: { ...bundle, image: parsed.data } } }
}

function tell({ inForce, trouble }: PolicyKeeper, { json }: VerifyFlags, io: CommandIo): number {
  const { set, origin } = inForce
  if (trouble !== undefined || origin === undefined) {
    io.stderr((trouble?.problems ?? []).map((problem) => `portcullis: ${problem}\n`).join(''))
    return trouble?.isOutage === true ? EXIT.undetermined : EXIT.refused
  }
  const names = set.policies.map(({ name }) => name)
  if (json === true) {
    io.stdout(`${JSON.stringify({ source: origin, version: set.version, policies: names }, undefined, 2)}\n`)
  } else {
    io.stdout(`ok: ${originText(origin)}\npolicies: ${names.join(', ')}\nversion: ${set.version}\n`)
  }
  return EXIT.ok
}
