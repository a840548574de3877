import { hash } from 'node:crypto'
import { join } from 'node:path'
import { Agent } from 'undici'
import * as z from 'zod'
import { TrustError } from '../trust-error.ts'
import { createTufFetch } from '../tuf/fetch.ts'
import { readGeneration } from '../tuf/generation.ts'
import { readInitialRoot } from '../tuf/initial-root.ts'
import { TufMirror } from '../tuf/mirror.ts'
import { walkRoots } from '../tuf/roots.ts'
import { FILE_BYTES_MAX, makeFolder, type Disk } from './disk.ts'
import { PublishError, reasonOf } from './error.ts'
import { SIGNING_CONFIG_TARGET, TRUSTED_ROOT_TARGET, type Target } from './target-input.ts'

export type OriginInput = {
  /** A TUF repository: the origin itself, or a proxy's verified mirror of it. */
  readonly url: string
  /** A root of the origin that somebody has checked: the newest or any before it. */
  readonly root: Buffer
  /** Undefined: what Sigstore's clients need. */
  readonly names: readonly string[]
  /** Where copies of origins are kept between runs, so that an older state or root of one is refused. */
  readonly directory: string
  readonly disk: Disk
  readonly now: () => Date
  /** Hears what is odd about the origin or its copy, and stops nothing. */
  readonly warn: (line: string) => void
}

const FETCH_TIMEOUT_MS = 10_000
/** For messages. */
const NAME = 'the copy of the origin'

/**
 * The origin's targets, verified as Portcullis' own mirror of it would be, from all roots that were ever seen of it.
 * Throws PublishError `unavailable` where the origin cannot be reached or does not verify, `usage` for a root that is
 * none: what is published already stays as it is.
 */
export async function fetchFromOrigin(input: OriginInput): Promise<readonly Target[]> {
  const url = originUrl(input.url)
  const dispatcher = new Agent({ connect: { timeout: FETCH_TIMEOUT_MS } })
  try {
    const mirror = await openCopy(url, input, dispatcher)
    await mirror.refresh(new AbortController().signal)
    const names = input.names.length > 0 ? input.names : offered(mirror)
    return names.map((name) => targetOf(mirror, name))
  } catch (error) {
    if (error instanceof PublishError) throw error
    const isRoot = error instanceof TrustError && error.code === 'trust-root'
    const message = `the origin ${url}: ${reasonOf(error)}`
    throw new PublishError(isRoot ? 'usage' : 'unavailable', message, error)
  } finally {
    await dispatcher.destroy()
  }
}

function originUrl(text: string): string {
  const protocol = URL.canParse(text) ? new URL(text).protocol : ''
  if (protocol !== 'https:' && protocol !== 'http:') {
    throw new PublishError('usage', `--from ${text}: expected the URL of a TUF repository`)
  }
  return text.replace(/\/+$/, '')
}

async function openCopy(url: string, input: OriginInput, dispatcher: Agent): Promise<TufMirror> {
  const { root, disk, now, warn } = input
  const directory = join(input.directory, hash('sha256', url, 'hex').slice(0, 16))
  await makeFolder(disk, input.directory)
  await refuseStranger(directory, root, disk)
  return await TufMirror.open(
    { name: NAME, url, directory, initialRoot: root, fetchTimeoutMs: FETCH_TIMEOUT_MS },
    {
      now,
      fetch: createTufFetch({ dispatcher, schemes: ['https:', 'http:'] }),
      onEvent: ({ message }) => warn(message),
      files: disk,
    },
  )
}

/** A mirror lets go of what its root does not vouch for. Here that is a mistaken file, and must not cost the memory. */
async function refuseStranger(directory: string, root: Buffer, disk: Disk): Promise<void> {
  const initial = readInitialRoot(NAME, root)
  await makeFolder(disk, directory)
  const { repository, client } = (await readGeneration(directory, disk)).generation
  try {
    walkRoots(initial, (file) => client.get(file) ?? repository.get(file))
  } catch (error) {
    throw new PublishError(
      'conflict',
      `--from-root does not lead to what was verified from this origin before (${reasonOf(error)}); ` +
        `if it is another origin now, remove ${directory}`,
      error,
    )
  }
}

/** A private Sigstore may have no signing config. */
function offered(mirror: TufMirror): readonly string[] {
  const hasSigningConfig = mirror.target(SIGNING_CONFIG_TARGET) !== undefined
  return hasSigningConfig ? [TRUSTED_ROOT_TARGET, SIGNING_CONFIG_TARGET] : [TRUSTED_ROOT_TARGET]
}

function targetOf(mirror: TufMirror, name: string): Target {
  const bytes = mirror.target(name)
  if (bytes === undefined) throw new PublishError('usage', `the origin has no target ${name}`)
  if (bytes.length > FILE_BYTES_MAX) {
    throw new PublishError(
      'invalid',
      `target ${name} has ${bytes.length} bytes; at most ${FILE_BYTES_MAX} are taken`,
    )
  }
  return { name, bytes, custom: sigstoreCustom(mirror.custom(name)) }
}

const customSchema = z.object({
  sigstore: z.object({ usage: z.string(), status: z.string(), uri: z.string().optional() }),
})

function sigstoreCustom(custom: unknown): Target['custom'] {
  const parsed = customSchema.safeParse(custom)
  if (!parsed.success) return undefined
  const { usage, status, uri } = parsed.data.sigstore
  return { usage, status, ...(uri === undefined ? {} : { uri }) }
}
