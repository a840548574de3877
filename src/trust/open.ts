import { hash } from 'node:crypto'
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Config } from '../config/schema.ts'
import type { TrustRootEntry } from '../config/trust-schema.ts'
import { createConnections } from '../connections.ts'
import { writeFileAtomically } from '../store/atomic-file.ts'
import { TrustKeeper, type KeeperEvent } from './keeper.ts'
import { createKeyFetcher, KMS_DEFAULTS } from './kms/kms-client.ts'
import { KmsKeys, type KmsKeyEvent } from './kms/kms-keys.ts'
import { NamedKeys } from './kms/named-keys.ts'
import { loadPublicGoodRoot, PUBLIC_GOOD_INITIAL_ROOT } from './public-good.ts'
import { readIfThere } from './sources/read-if-there.ts'
import { firstSeen } from './sources/first-seen.ts'
import type { TrustSource } from './source.ts'
import { KeySetSource } from './sources/key-set.ts'
import { PinnedSource } from './sources/pinned.ts'
import { PkiSource } from './sources/pki.ts'
import { TufSource, type TufSourceOptions } from './sources/tuf.ts'
import { TrustError } from './trust-error.ts'
import { parseTrustRoot } from './trust-root.ts'
import { createTufFetch, type FetchBytes } from './tuf/fetch.ts'
import { readInitialRoot } from './tuf/initial-root.ts'
import { ROOT_BYTES_MAX } from './tuf/limits.ts'
import { TufMirror, type TufMirrorEvent } from './tuf/mirror.ts'

/** Who is told of what happens to trust. */
export type TrustListener = {
  onKeeper(event: KeeperEvent): void
  onMirror(event: TufMirrorEvent): void
  onKey(event: KmsKeyEvent): void
}

export type OpenTrust = {
  readonly keeper: TrustKeeper
  /** Keys that policies name: they change with the policies. */
  readonly namedKeys: NamedKeys
  /** Mirrored repositories by the name of their root; one that was never had has no files. */
  readonly mirrors: ReadonlyMap<string, () => TufMirror | undefined>
  close(): Promise<void>
}

export type OpenTrustOptions = {
  /** Keys that policies name: `awskms://…`, `keys:NAME`. */
  readonly references: readonly string[]
  readonly listener: TrustListener
  readonly now: () => Date
  /** Milliseconds on a monotonic clock. */
  readonly elapsed: () => number
  readonly random: () => number
  /** Whether a dependency is taken away by a drill. Throws or rejects where it is. */
  readonly guard?: (dependency: 'sigstore' | 'kms') => void
}

type Place = OpenTrustOptions & {
  readonly trust: Config['trust']
  /** Below the data directory, ours alone. */
  readonly directory: string
  readonly fetch: FetchBytes
}

/** Nobody waits for it, but a mirror that hangs must not hang a renewal for good. */
const FETCH_TIMEOUT_MS = 15_000

/**
 * Opens every source from disk and configuration: no network. Rejects with TrustError where something configured cannot
 * be read, and then nothing is open.
 */
export async function openTrust(
  { trust, dataDirectory }: Pick<Config, 'trust' | 'dataDirectory'>,
  options: OpenTrustOptions,
): Promise<OpenTrust> {
  const agent = createConnections({
    connect: { timeout: FETCH_TIMEOUT_MS },
    headersTimeout: FETCH_TIMEOUT_MS,
    bodyTimeout: FETCH_TIMEOUT_MS,
  })
  const get = createTufFetch({ dispatcher: agent, schemes: ['https:', 'http:'] })
  const fetch: FetchBytes = async (url, limits) => {
    options.guard?.('sigstore')
    return await get(url, limits)
  }
  const place: Place = { ...options, trust, fetch, directory: join(dataDirectory, 'trust') }
  try {
    const roots = await openSources(trust.roots, place)
    const onEvent = (event: KeeperEvent): void => options.listener.onKeeper(event)
    const keeper = new TrustKeeper(roots, { ...options, onEvent })
    const namedKeys = new NamedKeys(keeper, createKmsKeys(place), trust.kms)
    await namedKeys.add(options.references, undefined)
    const mirrors = roots.flatMap((source) =>
      source instanceof TufSource ? [[source.name, () => source.mirror] as const] : [],
    )
    return { keeper, namedKeys, mirrors: new Map(mirrors), close: async () => await agent.destroy() }
  } catch (error) {
    await agent.destroy()
    throw error
  }
}

/** In the order of the configuration, though a PKI goes by another source's times and so is opened after it. */
async function openSources(entries: Config['trust']['roots'], place: Place): Promise<readonly TrustSource[]> {
  const isPki = ({ kind }: TrustRootEntry): boolean => kind === 'pki'
  const opened = new Map<string, TrustSource>()
  const openAll = async (wanted: (entry: TrustRootEntry) => boolean): Promise<void> => {
    const sources = [...entries]
      .filter(([, entry]) => wanted(entry))
      .map(async ([name, entry]) => await openSource({ name, entry, opened }, place))
    for (const source of await Promise.all(sources)) opened.set(source.name, source)
  }
  await openAll((entry) => !isPki(entry))
  await openAll(isPki)
  return [...entries.keys()].flatMap((name) => opened.get(name) ?? [])
}

type Opening = {
  readonly name: string
  readonly entry: TrustRootEntry
  /** Sources that are open already, by name. */
  readonly opened: ReadonlyMap<string, TrustSource>
}

async function openSource({ name, entry, opened }: Opening, place: Place): Promise<TrustSource> {
  const { refreshEveryMs } = place.trust
  const files = { now: place.now, readFile: async (path: string) => await readFile(path, 'utf8') }
  switch (entry.kind) {
    case 'pinned':
      return await PinnedSource.open({ ...entry, name, previous: entry.previous, refreshEveryMs }, files)
    case 'keys':
      return await KeySetSource.open({ ...entry, name, refreshEveryMs }, files)
    case 'pki': {
      const times = { name: entry.times, source: opened.get(entry.times) }
      return await PkiSource.open({ name, path: entry.certificates, times, refreshEveryMs }, files)
    }
    case 'tuf':
      return await openTuf({ name, url: entry.url, entry }, place)
    case 'public-good':
      return await openTuf({ name, url: entry.mirror, entry }, place)
  }
}

type TufPlace = {
  readonly name: string
  readonly url: string
  readonly entry: Extract<TrustRootEntry, { kind: 'tuf' | 'public-good' }>
}

async function openTuf({ name, url, entry }: TufPlace, place: Place): Promise<TufSource> {
  const directory = join(place.directory, name)
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const { now, fetch, trust } = place
  const { refreshEveryMs, staleAfterMs, unusableAfterMs } = trust
  const initialRoot =
    entry.kind === 'public-good'
      ? async () => PUBLIC_GOOD_INITIAL_ROOT
      : (signal: AbortSignal | undefined) => initialRootOf({ name, url, entry, directory }, fetch, signal)
  const target = entry.kind === 'tuf' ? entry.target : 'trusted_root.json'
  const mirrorOptions = { name, url, directory: join(directory, 'mirror'), fetchTimeoutMs: FETCH_TIMEOUT_MS }
  const deps = {
    now,
    async openMirror(signal: AbortSignal | undefined) {
      const root = await initialRoot(signal)
      if (root === undefined) return undefined
      const onEvent = (event: TufMirrorEvent): void => place.listener.onMirror(event)
      const objectionTo = (targets: ReadonlyMap<string, Buffer>) =>
        problemOf(name, target, targets.get(target))
      return await TufMirror.open(
        { ...mirrorOptions, initialRoot: root },
        { now, fetch, onEvent, objectionTo },
      )
    },
  }
  const options: TufSourceOptions = {
    name,
    kind: entry.kind,
    url,
    target,
    seed: entry.kind === 'public-good' ? await seedOf(name, directory, now()) : undefined,
    refreshEveryMs,
    staleAfterMs,
    unusableAfterMs,
  }
  return await TufSource.open(options, deps)
}

async function seedOf(name: string, directory: string, now: Date): Promise<TufSourceOptions['seed']> {
  const root = loadPublicGoodRoot(name)
  return { root, since: await firstSeen(directory, root, now) }
}

/** What is signed can still be wrong, and must not take the place of what is right. */
function problemOf(name: string, target: string, bytes: Buffer | undefined): string | undefined {
  if (bytes === undefined) return `there is no target ${target}`
  try {
    parseTrustRoot(name, bytes.toString('utf8'))
    return undefined
  } catch (error) {
    if (error instanceof TrustError) return error.message
    throw error
  }
}

/** The configured first root: from its file, from what was fetched before, or, where one may ask, from the repository. */
async function initialRootOf(
  { name, url, entry, directory }: TufPlace & { directory: string },
  fetch: FetchBytes,
  signal: AbortSignal | undefined,
): Promise<Buffer | undefined> {
  if (entry.kind !== 'tuf') return undefined
  if (entry.root !== undefined) return readInitialRoot(name, await readNamed(name, entry.root)).bytes
  const kept = join(directory, 'initial-root.json')
  const stored = await readIfThere(kept)
  // Of another digest where configuration was changed: as if it had not been fetched yet.
  if (stored !== undefined && `sha256:${hash('sha256', stored, 'hex')}` === entry.rootDigest)
    return readInitialRoot(name, stored).bytes
  if (signal === undefined) return undefined
  const address = `${url}/${entry.rootVersion}.root.json`
  const { status, bytes } = await fetch(address, { bytesMax: ROOT_BYTES_MAX, signal }).catch(
    (cause: unknown) => {
      const why = cause instanceof Error ? cause.message : 'no answer'
      throw new TrustError('unavailable', `${address} cannot be had: ${why}`, cause)
    },
  )
  if (status !== 200) throw new TrustError('unavailable', `${address} answered ${status}`)
  const root = readInitialRoot(name, bytes, entry.rootDigest)
  await writeFileAtomically(kept, root.bytes)
  return root.bytes
}

function createKmsKeys({ trust, directory, now, listener, guard }: Place): KmsKeys {
  const { region, keyMaxAgeMs, overlapMs } = trust.kms
  const fetchKey = createKeyFetcher({ ...KMS_DEFAULTS, region })
  return new KmsKeys([], {
    directory: join(directory, 'kms'),
    fetchKey: async (reference, signal) => {
      guard?.('kms')
      return await fetchKey(reference, signal)
    },
    now,
    onEvent: (event) => listener.onKey(event),
    keyMaxAgeMs,
    overlapMs,
  })
}

async function readNamed(name: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path)
  } catch (error) {
    const reason = error instanceof Error ? error.message : 'unknown error'
    throw new TrustError('trust-root', `initial root of ${name}: ${path} cannot be read: ${reason}`, error)
  }
}
