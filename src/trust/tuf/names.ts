import { posix } from 'node:path'

/** `N.root.json`: never changes, and how clients walk from an old root to the newest. */
export const ROOT_FILE = /^(\d{1,9})\.root\.json$/

export function rootFile(version: number): string {
  return `${version}.root.json`
}

/** Files of a role, named as the repository does (TUF specification 1.0.34, section 6.2). Role names are not encoded. */
export function roleFile(role: string, version: number, isConsistent: boolean): string {
  return isConsistent ? `${version}.${role}.json` : `${role}.json`
}

/** Each name of one target: by every hash of it in consistent snapshots. */
export function targetFiles(path: string, hashes: readonly string[], isConsistent: boolean): string[] {
  const { dir, base } = posix.parse(path)
  const files = isConsistent ? hashes.map((hash) => `${hash}.${base}`) : [base]
  return files.map((file) => posix.join('targets', dir, file))
}

/** A path that is the same file for us, for the repository, and for every client of ours. */
export function isPlainPath(path: string): boolean {
  return path.split('/').every((part) => part !== '' && part !== '.' && part !== '..')
}

/** Metadata has no directories, so a slash is part of a role's name; in targets it is one. */
export function urlOf(base: string, file: string): string {
  const parts = file.startsWith('targets/') ? file.split('/') : [file]
  return `${base}/${parts.map((part) => encodeURIComponent(part)).join('/')}`
}
