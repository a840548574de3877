import { looksLikeRegistry } from '../../oci/reference.ts'
import { compileGlob } from '../../policy/glob.ts'

export type ConvertedReference =
  | { readonly ok: true; readonly glob: string; readonly note?: string }
  | { readonly ok: false; readonly reason: string; readonly instead: string }

const REFERENCE_CHARACTERS_MAX = 512

/**
 * Kyverno's wildcard over `REGISTRY/REPOSITORY:TAG` or, where the image is named by digest, `REGISTRY/REPOSITORY@DIGEST`
 * (pkg/utils/image String, ext/wildcard: `*` is any text, slashes too), as a glob over `REGISTRY/REPOSITORY`. What matches
 * nothing in Kyverno is let through there, so a glob that matches more is the stricter one; that is noted.
 */
export function convertReference(source: string): ConvertedReference {
  if (source.length > REFERENCE_CHARACTERS_MAX)
    return refused(
      `${source.slice(0, 40)}…`,
      'which is too long',
      `write at most ${REFERENCE_CHARACTERS_MAX} characters`,
    )
  const byTag = /:\*+$/.test(source)
  const repository = byTag ? source.replace(/:\*+$/, '') : source
  const fault =
    faultOfText(source) ?? faultOfTag(source, repository, byTag) ?? faultOfRegistry(source, repository)
  if (fault !== undefined) return fault
  const glob = repository.replaceAll(/\*+/g, '**')
  const compiled = compileGlob(glob)
  if (!compiled.ok) return refused(source, 'which no repository matches', compiled.message)
  if (!byTag || repository.endsWith('*')) return { ok: true, glob }
  return { ok: true, glob, note: `${source} also holds for pulls by digest, which Kyverno lets pass unseen` }
}

function faultOfText(source: string): ConvertedReference | undefined {
  if (source.includes('{{')) return refused(source, 'a variable', 'write the reference itself')
  if (!source.includes('?')) return undefined
  return refused(source, 'whose ? has no equal', 'write each reference, or * in its place')
}

function faultOfTag(source: string, repository: string, byTag: boolean): ConvertedReference | undefined {
  const [, ...path] = repository.split('/')
  if (path.some((part) => /[:@]/.test(part))) {
    return refused(
      source,
      'for one tag or digest; here policies are for repositories',
      `write ${bare(repository)}:*`,
    )
  }
  if (byTag || repository.endsWith('*')) return undefined
  const why = 'which matches nothing in Kyverno: images have a tag or a digest there'
  return refused(source, why, `write ${source}:*`)
}

function faultOfRegistry(source: string, repository: string): ConvertedReference | undefined {
  const [first = '', ...path] = repository.split('/')
  if (first.startsWith('*')) return undefined
  if (path.length === 0 || first.includes('*') || !looksLikeRegistry(first)) {
    return refused(
      source,
      'which begins with no registry',
      'write the whole registry first, docker.io for Docker Hub',
    )
  }
  if (first !== 'docker.io' || path.length > 1 || /^\*+$/.test(path.join('/'))) return undefined
  return refused(
    source,
    'but official images are docker.io/library/… here',
    `write docker.io/library/${path.join('/')}`,
  )
}

function bare(repository: string): string {
  return repository.replace(/(?<=\/[^/]*)[:@][^/]*$/, '')
}

function refused(source: string, why: string, instead: string): ConvertedReference {
  return { ok: false, reason: `found ${JSON.stringify(source)}, ${why}`, instead }
}
