import { join } from 'node:path'
import { TrustError } from '../trust-error.ts'
import type { FetchBytes } from './fetch.ts'
import { TufFetcher } from './fetcher.ts'
import type { Generation } from './generation.ts'
import type { InitialRoot } from './initial-root.ts'
import { parseRoot, parseSnapshot, parseTargets } from './metadata.ts'
import { roleFile, rootFile, urlOf } from './names.ts'
import { readFrom, readThrough } from './read-verified.ts'
import { explainFailure } from './refusal.ts'
import { verifyRepository, type VerifiedRepository } from './repository.ts'
import { newestRootIn, walkRoots, type RootChain } from './roots.ts'
import { createUpdater } from './updater.ts'
import { createWorkspace } from './workspace.ts'

export type SynchroniseInput = {
  readonly initial: InitialRoot
  readonly kept: Generation
  /** Of the repository, normalised, without a slash at the end. */
  readonly url: string
  /** Ours; the client works in a directory below it. */
  readonly directory: string
  readonly fetch: FetchBytes
  readonly fetchTimeoutMs: number
  readonly at: Date
  readonly signal: AbortSignal
}

export type Synchronised =
  | {
      readonly kind: 'verified'
      readonly generation: Generation
      readonly repository: VerifiedRepository
      readonly chain: RootChain
    }
  /** `client` is what it trusts after that: newer roots and timestamps count even where the rest does not come. */
  | { readonly kind: 'failed'; readonly error: TrustError; readonly client: ReadonlyMap<string, Buffer> }

/**
 * One update: the client workflow of the specification for the top-level roles, with what the client trusted before,
 * then everything that these list. Nothing is written but in the workspace. Rejects only where that cannot be had.
 */
export async function synchronise(input: SynchroniseInput): Promise<Synchronised> {
  const { initial, kept, url, at } = input
  const before = walkRoots(initial, (file) => kept.client.get(file) ?? kept.repository.get(file))
  const newestRoot = before.files.get(rootFile(before.newest.signed.version)) ?? initial.bytes
  await using workspace = await createWorkspace(
    join(input.directory, 'work'),
    new Map([...kept.client, ['root.json', newestRoot]]),
  )
  const fetcher = new TufFetcher({
    fetch: input.fetch,
    timeoutMs: input.fetchTimeoutMs,
    signal: input.signal,
    directory: workspace.directory,
  })
  const updater = createUpdater({ directory: workspace.directory, metadataUrl: url, fetcher, at })
  const problem = await problemOf(async () => await updater.refresh())
  const trusted = await workspace.read()
  const { client, chain, hidden } = clientAfter(trusted, { input, before, fetcher })
  const fail = (error: unknown): Synchronised => {
    const root = chain.files.get(rootFile(chain.newest.signed.version))
    return { kind: 'failed', error: explainFailure(error, { fetcher, url, at, root }), client }
  }
  if (problem !== undefined || hidden !== undefined) return fail(problem?.error ?? hidden)
  try {
    const repository = await complete(trusted, { input, chain, fetcher })
    const generation = {
      refreshedAt: at,
      repository: new Map([...chain.files, ...repository.files]),
      client,
    }
    return { kind: 'verified', generation, repository, chain }
  } catch (error) {
    return fail(error)
  }
}

async function problemOf(work: () => Promise<void>): Promise<{ readonly error: unknown } | undefined> {
  try {
    await work()
    return undefined
  } catch (error) {
    return { error }
  }
}

type Run = { readonly input: SynchroniseInput; readonly fetcher: TufFetcher }

type ClientAfter = {
  readonly client: ReadonlyMap<string, Buffer>
  readonly chain: RootChain
  /** Why this update is not to be believed: a root that was seen before did not come again. */
  readonly hidden: TrustError | undefined
}

/** The client names its newest root alone; who starts from an older one needs each in between. */
function clientAfter(
  trusted: ReadonlyMap<string, Buffer>,
  { input, before, fetcher }: Run & { readonly before: RootChain },
): ClientAfter {
  const root = trusted.get('root.json')
  const newest = root === undefined ? input.initial.version : parseRoot(root).signed.version
  const chain = walkRoots(input.initial, (file, version) =>
    version > newest ? undefined : (before.files.get(file) ?? fetcher.received.get(urlOf(input.url, file))),
  )
  const { kept } = input
  const hidden = hiddenRoot(chain, kept)
  // What was taken under a root that has been replaced must not become what rollbacks are told by.
  if (hidden !== undefined) return { client: kept.client, chain, hidden }
  const client = new Map([...trusted, ...chain.files])
  client.delete('root.json')
  // Somebody's word, not the repository's: it must not count as seen.
  client.delete(rootFile(input.initial.version))
  return { client, chain, hidden }
}

/**
 * Where the initial root is older than the one before, what was seen since may lie beyond what leads up from it: then
 * the repository has to show the way there again.
 */
function hiddenRoot({ newest }: RootChain, { client, repository }: Generation): TrustError | undefined {
  const { version } = newest.signed
  const seen = newestRootIn([...client.keys(), ...repository.keys()])
  if (version >= seen) return undefined
  return new TrustError('refused', `root ${seen} was seen before, and the roots now end at ${version}`)
}

/** The top-level roles are the client's, which knows a rollback; what they list may come from anywhere. */
async function complete(
  trusted: ReadonlyMap<string, Buffer>,
  { input, chain, fetcher }: Run & { readonly chain: RootChain },
): Promise<VerifiedRepository> {
  const isConsistent = chain.newest.signed.consistentSnapshot
  const top = new Map(trusted)
  for (const [role, parse] of [
    ['snapshot', parseSnapshot],
    ['targets', parseTargets],
  ] as const) {
    const bytes = trusted.get(`${role}.json`)
    if (bytes === undefined) throw new TrustError('refused', `${role}.json was not had`)
    top.set(roleFile(role, parse(bytes).signed.version, isConsistent), bytes)
  }
  return await verifyRepository({
    chain,
    at: input.at,
    top: readFrom(top),
    read: readThrough(input.kept.repository, (file, bytesMax) =>
      fetcher.get(urlOf(input.url, file), bytesMax),
    ),
  })
}
