import { resolve, join } from 'node:path'
import type { Key } from '@tufjs/models'
import { readNamed, type Disk } from '../trust/publish/disk.ts'
import { PublishError } from '../trust/publish/error.ts'
import { initRepository } from '../trust/publish/init.ts'
import { parsePublicKey, shortId } from '../trust/publish/key.ts'
import type { OpenSigner } from '../trust/publish/keyring.ts'
import { highestVersion, PUBLIC_FOLDER, rootPath } from '../trust/publish/layout.ts'
import { fetchFromOrigin } from '../trust/publish/origin.ts'
import { publishRoot } from '../trust/publish/publish-root.ts'
import { withRepository, type Repository } from '../trust/publish/repository.ts'
import { rotateRoot as stageRotation } from '../trust/publish/rotate-root.ts'
import {
  addRootSignature,
  isComplete,
  mergeSignatures,
  readStagedRoot,
  writeStagedRoot,
} from '../trust/publish/sign-root.ts'
import { KMS_SCHEME } from '../trust/publish/signer.ts'
import { readStatus } from '../trust/publish/status.ts'
import { parseAssignment, parseTargetName, parseUsage, type Target } from '../trust/publish/target-input.ts'
import { publishTargets, publishTimestamp } from '../trust/publish/targets.ts'
import { EXIT } from './io.ts'
import {
  parseLifetime,
  signaturesText,
  stagedText,
  statusText,
  thresholdWarnings,
} from './trust-publish-text.ts'

/** What an action may touch. */
type ActionIo = {
  readonly disk: Disk
  readonly now: () => Date
  readonly open: OpenSigner
  readonly say: (text: string) => void
  readonly warn: (line: string) => void
}

/** Returns the exit code; throws PublishError. */
export type Action<Options> = (options: Options, io: ActionIo) => Promise<number>

type InRepository = { readonly repository: string }

type InitOptions = InRepository & {
  readonly rootKey: readonly string[]
  readonly threshold: string
  readonly targetsKey: string
  readonly snapshotKey: string
  readonly timestampKey: string
  readonly rootExpires: string
  readonly targetsExpires: string
  readonly snapshotExpires: string
  readonly timestampExpires: string
}

export const init: Action<InitOptions> = (options, io) =>
  withRepository(
    { directory: resolve(options.repository), disk: io.disk, create: true },
    async (repository) => {
      const path = await initRepository(repository, {
        rootKeys: await publicKeys(options.rootKey, io),
        threshold: parseCount(options.threshold, '--threshold'),
        signers: {
          targets: keyReference(options.targetsKey),
          snapshot: keyReference(options.snapshotKey),
          timestamp: keyReference(options.timestampKey),
        },
        lifetimes: {
          root: parseLifetime(options.rootExpires, '--root-expires'),
          targets: parseLifetime(options.targetsExpires, '--targets-expires'),
          snapshot: parseLifetime(options.snapshotExpires, '--snapshot-expires'),
          timestamp: parseLifetime(options.timestampExpires, '--timestamp-expires'),
        },
        now: io.now(),
        open: io.open,
      })
      return tellStaged(path, io)
    },
  )

type RotateOptions = InRepository & {
  readonly addRootKey?: readonly string[]
  readonly removeRootKey?: readonly string[]
  readonly threshold?: string
  readonly targetsKey?: string
  readonly snapshotKey?: string
  readonly timestampKey?: string
  readonly overlap: string
  readonly retire?: readonly string[]
  readonly lost?: readonly string[]
  readonly rootExpires?: string
}

export const rotateRoot: Action<RotateOptions> = (options, io) =>
  withRepository({ directory: resolve(options.repository), disk: io.disk }, async (repository) => {
    const { targetsKey, snapshotKey, timestampKey, threshold, rootExpires } = options
    const path = await stageRotation(repository, {
      addRootKeys: await publicKeys(options.addRootKey ?? [], io),
      removeRootKeys: options.removeRootKey ?? [],
      threshold: threshold === undefined ? undefined : parseCount(threshold, '--threshold'),
      signers: {
        ...(targetsKey === undefined ? {} : { targets: keyReference(targetsKey) }),
        ...(snapshotKey === undefined ? {} : { snapshot: keyReference(snapshotKey) }),
        ...(timestampKey === undefined ? {} : { timestamp: keyReference(timestampKey) }),
      },
      overlapMs: options.overlap === '0s' ? 0 : parseLifetime(options.overlap, '--overlap'),
      retire: options.retire ?? [],
      lost: options.lost ?? [],
      rootLifetimeMs: rootExpires === undefined ? undefined : parseLifetime(rootExpires, '--root-expires'),
      now: io.now(),
      open: io.open,
    })
    return tellStaged(path, io)
  })

async function tellStaged(path: string, { disk, say, warn }: ActionIo): Promise<number> {
  const staged = await readStagedRoot(path, disk)
  for (const line of thresholdWarnings(staged)) warn(line)
  say(stagedText(staged))
  say(signaturesText(staged))
  const beside =
    staged.previous === undefined ? '' : ` and ${rootPath(staged.previous.signed.version)} beside it`
  say(
    `staged ${path}; sign copies of it${beside} offline: portcullis trust publish sign-root --root FILE --key KEY\n`,
  )
  return EXIT.ok
}

type SignOptions = {
  readonly root?: string
  readonly repository?: string
  readonly key?: string
  readonly from?: readonly string[]
}

export const signRoot: Action<SignOptions> = async (options, io) => {
  const { root, repository: directory, key, from = [] } = options
  if ((root === undefined) === (directory === undefined)) {
    throw new PublishError('usage', 'give one of --root FILE (offline) and --repository DIR (publishes)')
  }
  if (root !== undefined) {
    await signFile(root, { key, from }, io)
    return EXIT.ok
  }
  return withRepository({ directory: resolve(directory ?? ''), disk: io.disk }, async (repository) => {
    const version = highestVersion(await repository.stagedFiles(), 'root')
    if (version === 0)
      throw new PublishError('conflict', 'no root is staged: portcullis trust publish rotate-root')
    const staged = await signFile(repository.stagedPath(rootPath(version)), { key, from }, io)
    if (!isComplete(staged)) return EXIT.ok
    await publishRoot(repository, { staged, now: io.now(), open: io.open, warn: io.warn })
    io.say(`published ${join(repository.directory, PUBLIC_FOLDER, rootPath(version))}\n`)
    return EXIT.ok
  })
}

type Signing = { readonly key: string | undefined; readonly from: readonly string[] }

async function signFile(
  path: string,
  { key, from }: Signing,
  { disk, open, say }: ActionIo,
): ReturnType<typeof readStagedRoot> {
  const staged = await readStagedRoot(path, disk)
  say(stagedText(staged))
  for (const name of from) mergeSignatures(staged, { name, bytes: await readNamed(disk, name) })
  if (key !== undefined) {
    const signer = await open(keyReference(key))
    await addRootSignature(staged, signer)
    say(`signed with key ${shortId(signer.key.keyID)}\n`)
  }
  if (from.length > 0 || key !== undefined) await writeStagedRoot(staged, disk)
  say(signaturesText(staged))
  return staged
}

type TargetsOptions = InRepository & {
  readonly add?: readonly string[]
  readonly usage?: readonly string[]
  readonly remove?: readonly string[]
  readonly from?: string
  readonly fromRoot?: string
  readonly name?: readonly string[]
  readonly versionAtLeast?: string
}

export const targets: Action<TargetsOptions> = (options, io) =>
  withRepository({ directory: resolve(options.repository), disk: io.disk }, async (repository) => {
    const { versionAtLeast } = options
    const fetched = await fromOrigin(options, repository, io)
    const hasChanged = await publishTargets(repository, {
      add: [...fetched, ...(await fromFiles(options, io.disk))],
      remove: options.remove ?? [],
      onlyIfDue: options.from !== undefined,
      versionMin: versionAtLeast === undefined ? undefined : parseCount(versionAtLeast, '--version-at-least'),
      now: io.now(),
      open: io.open,
      warn: io.warn,
    })
    io.say(hasChanged ? 'published\n' : 'no target has changed\n')
    await tellStatus(repository, io)
    return EXIT.ok
  })

async function fromFiles({ add = [], usage = [] }: TargetsOptions, disk: Disk): Promise<readonly Target[]> {
  const usages = new Map(
    usage.map((text) => {
      const { name, value } = parseAssignment(text, '--usage')
      return [name, parseUsage(value)]
    }),
  )
  const found: Target[] = []
  for (const text of add) {
    const { name, value } = parseAssignment(text, '--add')
    found.push({ name, bytes: await readNamed(disk, value), custom: usages.get(name) })
  }
  const stray = [...usages.keys()].find((name) => !found.some((target) => target.name === name))
  if (stray !== undefined)
    throw new PublishError('usage', `--usage ${stray}: add that target in the same run`)
  return found
}

async function fromOrigin(
  { from, fromRoot, name = [] }: TargetsOptions,
  { directory }: Repository,
  { disk, now, warn }: ActionIo,
): Promise<readonly Target[]> {
  if (from === undefined && fromRoot === undefined && name.length === 0) return []
  if (from === undefined || fromRoot === undefined) {
    throw new PublishError('usage', '--from URL and --from-root FILE go together; --name goes with them')
  }
  return fetchFromOrigin({
    url: from,
    root: await readNamed(disk, fromRoot),
    names: name.map((text) => parseTargetName(text)),
    directory: join(directory, 'origin'),
    disk,
    now,
    warn,
  })
}

export const timestamp: Action<InRepository & { readonly expires?: string }> = (options, io) =>
  withRepository({ directory: resolve(options.repository), disk: io.disk }, async (repository) => {
    const { expires } = options
    await publishTimestamp(repository, {
      lifetimeMs: expires === undefined ? undefined : parseLifetime(expires, '--expires'),
      now: io.now(),
      open: io.open,
      warn: io.warn,
    })
    await tellStatus(repository, io)
    return EXIT.ok
  })

async function tellStatus(repository: Repository, { now, say }: ActionIo): Promise<void> {
  say(statusText(await readStatus(repository, now())))
}

export const status: Action<InRepository> = (options, io) =>
  withRepository({ directory: resolve(options.repository), disk: io.disk }, async (repository) => {
    const found = await readStatus(repository, io.now())
    io.say(statusText(found))
    return found.due.length === 0 ? EXIT.ok : EXIT.refused
  })

/** Says the ID of each, so that people know later which one is whose. */
async function publicKeys(files: readonly string[], { disk, say }: ActionIo): Promise<readonly Key[]> {
  const keys: Key[] = []
  for (const file of files) {
    const key = parsePublicKey((await readNamed(disk, file)).toString('latin1'), file)
    say(`${file}: root key ${shortId(key.keyID)}\n`)
    keys.push(key)
  }
  return keys
}

/** Absolute, because the daily run starts elsewhere. */
function keyReference(text: string): string {
  return text.startsWith(KMS_SCHEME) ? text : resolve(text)
}

function parseCount(text: string, option: string): number {
  const count = /^\d{1,9}$/.test(text) ? Number(text) : 0
  if (count > 0) return count
  throw new PublishError('usage', `${option} ${text}: expected a whole number from 1`)
}
