import { note, quoted, type Section } from './remarks.ts'

const NAME_CHARACTERS_MAX = 63
const NAME = /^[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?$/

/** A name that our documents take, and that `taken` has not; what had to be changed is noted. */
export function convertName({ path, remarks }: Section, written: string, taken: Set<string>): string {
  const base = NAME.test(written) ? written : plainName(written)
  let name = base
  for (let count = 2; taken.has(name); count++) name = `${base.slice(0, NAME_CHARACTERS_MAX - 4)}-${count}`
  taken.add(name)
  if (name !== written) note(remarks, [...path, 'name'], `${quoted(written)} is called ${name} here`)
  return name
}

/** Of any text one that our documents take as a name. */
export function plainName(written: string): string {
  const plain = written
    .toLowerCase()
    .replaceAll(/[^a-z0-9.-]+/g, '-')
    .slice(0, NAME_CHARACTERS_MAX)
    .replaceAll(/^[.-]+|[.-]+$/g, '')
  return plain === '' ? 'unnamed' : plain
}
