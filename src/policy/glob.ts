import { RE2JS } from 're2js'
import { looksLikeRegistry, parseRegistry } from '../oci/reference.ts'

/** A compiled image glob. */
export type Glob = {
  /** As written. */
  readonly source: string
  /** With Docker Hub spelled out: two globs of one meaning have one canonical form. */
  readonly canonical: string
  /** What every name that it matches begins with: all before the first wildcard. The key of the policy index. */
  readonly literal: string
  /** `repositoryName` is canonical: `registry/name`. */
  matches(repositoryName: string): boolean
}

export type GlobResult =
  | { readonly ok: true; readonly glob: Glob }
  | { readonly ok: false; readonly message: string }

const GLOB_CHARACTERS_MAX = 512
const GLOB = /^[a-z0-9_:/*.-]+$/
const DOCKER_HUB = 'docker.io'

/**
 * Compiles a glob by the rules of sigstore policy-controller (pkg/apis/glob): `*` is any text without `/`, `**` any text,
 * everything else stands for itself, and the whole name must match. `*`, and two of it with a slash between, mean
 * Docker Hub.
 *
 * It differs in one thing: a name has no tag or digest here, because a verdict is about a digest, not about a tag.
 */
export function compileGlob(source: string): GlobResult {
  const fault = faultOf(source)
  if (fault !== undefined) return { ok: false, message: `found ${JSON.stringify(source)}, ${fault}` }
  const canonical = canonicalForm(source)
  if (canonical === undefined) {
    const message = `found ${JSON.stringify(source)}, whose first part is no registry host`
    return { ok: false, message }
  }
  return {
    ok: true,
    glob: { source, canonical, literal: literalOf(canonical), matches: matcherOf(canonical) },
  }
}

function faultOf(source: string): string | undefined {
  if (source.length > GLOB_CHARACTERS_MAX) return `expected at most ${GLOB_CHARACTERS_MAX} characters`
  if (source.includes('@')) return byDigest('@')
  if (/[A-Z]/.test(source)) return 'expected lower case: registries and repositories have no capitals'
  if (!GLOB.test(source)) return 'expected only letters, digits and - _ : / * .'
  const components = source.split('/')
  if (components.includes('')) return 'expected no empty part before, between or after slashes'
  return components.length === 1 ? faultOfName(source) : faultOfPath(components.slice(1))
}

/** A single component is a Docker Hub name, so it has neither port nor dots. */
function faultOfName(name: string): string | undefined {
  if (name.includes(':')) return byDigest(':')
  if (!looksLikeRegistry(name) || name.includes('**')) return undefined
  return `expected a repository; write ${name}/** for all of a registry`
}

/** A colon is a port in the first of several components, and a tag anywhere else. */
function faultOfPath(components: readonly string[]): string | undefined {
  return components.some((component) => component.includes(':')) ? byDigest(':') : undefined
}

function byDigest(mark: string): string {
  return `expected a repository: tags and digests are not matched because verdicts are by digest; drop the part from ${mark} on`
}

/** undefined where the first component is meant to be a host and is none. */
function canonicalForm(source: string): string | undefined {
  if (source === '*') return `${DOCKER_HUB}/library/*`
  if (source === '*/*') return `${DOCKER_HUB}/*/*`
  const [first = '', ...rest] = source.split('/')
  if (first.includes('*')) return source
  if (rest.length === 0 || !looksLikeRegistry(first)) return onDockerHub(source)
  const registry = parseRegistry(first)
  if (registry === undefined) return undefined
  return registry === DOCKER_HUB ? onDockerHub(rest.join('/')) : `${registry}/${rest.join('/')}`
}

/** One component is an official image: Docker Hub keeps those under `library/`. */
function onDockerHub(path: string): string {
  const official = !path.includes('/') && !path.includes('**')
  return `${DOCKER_HUB}/${official ? 'library/' : ''}${path}`
}

function matcherOf(canonical: string): (repositoryName: string) => boolean {
  if (!canonical.includes('*')) return (repositoryName) => repositoryName === canonical
  // Nearly all globs are a beginning and its wildcard, and thousands of them are asked about every image.
  if (canonical === '**') return () => true
  const literal = literalOf(canonical)
  if (literal !== '' && canonical === `${literal}**`) {
    return (repositoryName) => repositoryName.startsWith(literal)
  }
  if (literal !== '' && canonical === `${literal}*`) {
    return (repositoryName) =>
      repositoryName.startsWith(literal) && !repositoryName.includes('/', literal.length)
  }
  const pattern = canonical
    .split(/(\*\*|\*)/)
    .map((part) => (part === '**' ? '.*' : part === '*' ? '[^/]*' : RE2JS.quote(part)))
    .join('')
  const compiled = RE2JS.compile(pattern)
  if (!isOpen(canonical)) return (repositoryName) => compiled.matches(repositoryName)
  return (repositoryName) => spellings(repositoryName).some((name) => compiled.matches(name))
}

/**
 * Where the registry itself is a wildcard the glob cannot be made canonical, so every name that people write for a Docker
 * Hub image is tried. To match more is the safe side: every matching policy must be satisfied.
 */
function spellings(repositoryName: string): readonly string[] {
  if (!repositoryName.startsWith(`${DOCKER_HUB}/`)) return [repositoryName]
  const path = repositoryName.slice(DOCKER_HUB.length + 1)
  const official = path.startsWith('library/') ? [path.slice('library/'.length)] : []
  return [repositoryName, `index.${DOCKER_HUB}/${path}`, path, ...official]
}

function literalOf(canonical: string): string {
  return isOpen(canonical) ? '' : (canonical.split('*', 1)[0] ?? '')
}

/** Whether the registry itself is a wildcard: then names are matched that begin in another way. */
function isOpen(canonical: string): boolean {
  return canonical.split('/', 1)[0]?.includes('*') === true
}
