import { realpath, stat } from 'node:fs/promises'
import { join } from 'node:path'
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

/** Through links, and with the permissions that the file has. Undefined, or why the file is as it was. */
export async function makeEdit({ path, before, after }: FileChange): Promise<string | undefined> {
  try {
    const file = await realpath(path)
    const { mode } = await stat(file)
    if ((await DISK.readFile(file)) !== before) return `${path} was changed in the meantime`
    await writeFileAtomically(file, after, { mode: mode & 0o777 })
    return undefined
  } catch (error) {
    return `${path} cannot be written: ${messageOf(error)}`
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : 'unknown error'
}
