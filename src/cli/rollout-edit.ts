import { open, realpath, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { loadPolicyDirectory, type PolicyRules } from '../config/policy-files.ts'
import { problemText } from '../policy/problem.ts'
import { DISK, readPolicyFiles } from '../policy-source/directory-files.ts'
import { setRingMode, type RingEdit } from '../rollout/policy-edit.ts'
import { writeFileAtomically } from '../store/atomic-file.ts'

/** A change of one policy file that is still to be made. */
export type FileChange = { readonly path: string; readonly before: string; readonly after: string }

/** The change, or why it cannot be made, in words for the operator. */
export async function prepareEdit(
  directory: string,
  edit: RingEdit,
): Promise<FileChange | { readonly problem: string }> {
  try {
    const { policies } = await readPolicyFiles(directory, DISK)
    for (const { path, text } of policies) {
      const after = setRingMode(text, edit)
      if (after !== undefined) return { path: join(directory, path), before: text, after }
    }
    return { problem: `found no ImagePolicy ${edit.policy} below ${directory}` }
  } catch (error) {
    return { problem: `${directory} cannot be read: ${messageOf(error)}` }
  }
}

/** The version of a policy in the directory, as a proxy would load it; or why it would not. */
export async function versionOnDisk(
  rules: PolicyRules,
  policy: string,
): Promise<{ readonly version: string } | { readonly problem: string }> {
  const load = await loadPolicyDirectory(rules)
  if (!load.ok) {
    const [first] = load.problems
    return { problem: `no proxy loads these policies: ${first === undefined ? '' : problemText(first)}` }
  }
  const found = load.set.policies.find(({ name }) => name === policy)
  return found ?? { problem: `found no policy ${policy} on disk` }
}

/** Through links, and with the owner and the permissions that the file has. Undefined, or why the file is as it was. */
export async function makeEdit(change: FileChange): Promise<string | undefined> {
  const { path } = change
  try {
    const file = await realpath(path)
    // Hidden, so that no proxy takes it for a policy.
    const lock = join(dirname(file), `.${basename(file)}.lock`)
    return await locked(lock, () => replaceIn(file, change))
  } catch (error) {
    return `${path} cannot be written: ${messageOf(error)}`
  }
}

/** One at a time: of two that have read the same file, the second would undo what the first wrote. */
async function locked<T>(lock: string, work: () => Promise<T>): Promise<T> {
  await using _ = await open(lock, 'wx')
  try {
    return await work()
  } finally {
    await rm(lock, { force: true })
  }
}

async function replaceIn(file: string, { path, before, after }: FileChange): Promise<string | undefined> {
  const { mode, uid, gid } = await stat(file)
  if ((await DISK.readFile(file)) !== before) return `${path} was changed in the meantime`
  // Otherwise the proxy, which is another user, might not be able to read it any more.
  await writeFileAtomically(file, after, { mode: mode & 0o777, owner: { uid, gid } })
  return undefined
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : 'unknown error'
}
