import { dirname, basename } from 'node:path/posix'
import type { TargetFile } from '@tufjs/models'

// A repository's directory: `public/` is what any web server serves, everything else is for these commands only.
export const PUBLIC_FOLDER = 'public'
export const STAGED_FOLDER = 'staged'
export const INCOMING_FOLDER = 'incoming'
export const STATE_FILE = 'repository.json'

/** The only served file that ever changes: all others are named by version or hash (TUF specification 6.2). */
export const TIMESTAMP_PATH = 'timestamp.json'

export function rootPath(version: number): string {
  return `${version}.root.json`
}

export function snapshotPath(version: number): string {
  return `${version}.snapshot.json`
}

export function targetsPath(version: number): string {
  return `${version}.targets.json`
}

/** `targets/a/HASH.b` for `a/b`. */
export function targetPath({ path, hashes }: Pick<TargetFile, 'path' | 'hashes'>): string {
  const folder = dirname(path)
  const name = `${hashes['sha256'] ?? ''}.${basename(path)}`
  return folder === '.' ? `targets/${name}` : `targets/${folder}/${name}`
}

/** The highest version of a role among these paths, published or left behind by a run that was killed; 0 for none. */
export function highestVersion(paths: Iterable<string>, role: 'snapshot' | 'targets' | 'root'): number {
  const pattern = new RegExp(`^(\\d+)\\.${role}\\.json$`)
  const versions = [...paths].map((path) => Number(pattern.exec(path)?.[1] ?? 0))
  return Math.max(0, ...versions)
}
