import { parseDigest, type Digest } from './digest.ts'

declare const tagBrand: unique symbol

/** OCI distribution-spec 1.1: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`. */
export type Tag = string & { readonly [tagBrand]: true }

/**
 * A repository under its canonical name, the only spelling that policy, caches and records ever see:
 * `registry` is the namespace (`docker.io`, `ghcr.io`, `localhost:5000`), `name` the path (`library/alpine`).
 */
export type Repository = { readonly registry: string; readonly name: string }

/** What a client asks for inside a repository. */
export type ManifestReference =
  | { readonly kind: 'tag'; readonly tag: Tag }
  | { readonly kind: 'digest'; readonly digest: Digest }

/** A whole image name as a person writes it. With both tag and digest the digest decides, as in docker. */
export type ImageReference = { readonly repository: Repository; readonly reference: ManifestReference }

const REPOSITORY_NAME_MAX = 255
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/
const NAME = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/
const REGISTRY = /^(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*(?::[0-9]{1,5})?$/

/** Spellings of Docker Hub that clients use for the same repositories (distribution/reference, normalize.go). */
const DOCKER_HUB = new Set([
  'docker.io',
  'index.docker.io',
  'registry-1.docker.io',
  'registry.hub.docker.com',
])

function isTag(text: string): text is Tag {
  return TAG.test(text)
}

export function parseTag(text: string): Tag | undefined {
  return isTag(text) ? text : undefined
}

/** The canonical form of a registry host, or undefined where it is none. */
export function parseRegistry(text: string): string | undefined {
  if (text.length > REPOSITORY_NAME_MAX || !REGISTRY.test(text)) return undefined
  return DOCKER_HUB.has(text) ? 'docker.io' : text
}

/** Whether `text` is a repository's path in its registry, without host, tag and digest. */
export function isRepositoryName(text: string): boolean {
  return text.length <= REPOSITORY_NAME_MAX && NAME.test(text)
}

/** Checks the name and adds Docker Hub's `library/`; `registry` must be canonical already. */
export function parseRepository(registry: string, name: string): Repository | undefined {
  const canonical = registry === 'docker.io' && !name.includes('/') ? `library/${name}` : name
  return isRepositoryName(canonical) ? { registry, name: canonical } : undefined
}

/** True where the first component of an image name denotes a registry and not a path (distribution/reference). */
export function looksLikeRegistry(component: string): boolean {
  return component.includes('.') || component.includes(':') || component === 'localhost'
}

/** Takes the registry off the front of an image name, if there is one; checks neither part. */
export function splitRegistry(path: string): { registry: string | undefined; name: string } {
  const slash = path.indexOf('/')
  const first = path.slice(0, Math.max(slash, 0))
  return looksLikeRegistry(first)
    ? { registry: first, name: path.slice(slash + 1) }
    : { registry: undefined, name: path }
}

/** Parses `alpine`, `ghcr.io/a/b:tag`, `host:5000/a@sha256:…`; undefined where it is no image name. */
export function parseImageReference(text: string): ImageReference | undefined {
  const at = text.indexOf('@')
  const named = at === -1 ? text : text.slice(0, at)
  const colon = named.indexOf(':', named.lastIndexOf('/') + 1)
  const repository = parseRepositoryPath(colon === -1 ? named : named.slice(0, colon))
  const tag = parseTag(colon === -1 ? 'latest' : named.slice(colon + 1))
  if (repository === undefined || tag === undefined) return undefined
  if (at === -1) return { repository, reference: { kind: 'tag', tag } }
  const digest = parseDigest(text.slice(at + 1))
  return digest === undefined ? undefined : { repository, reference: { kind: 'digest', digest } }
}

/** `alpine`, `acme/app`, `ghcr.io/acme/app`: Docker Hub where the first component denotes no registry. */
function parseRepositoryPath(path: string): Repository | undefined {
  const { registry: host, name } = splitRegistry(path)
  const registry = parseRegistry(host ?? 'docker.io')
  return registry === undefined ? undefined : parseRepository(registry, name)
}

export function repositoryName(repository: Repository): string {
  return `${repository.registry}/${repository.name}`
}

export function referenceText(reference: ManifestReference): string {
  return reference.kind === 'tag' ? reference.tag : reference.digest
}

/** `registry/name:tag` or `registry/name@digest`. */
export function imageName(repository: Repository, reference: ManifestReference): string {
  return `${repositoryName(repository)}${reference.kind === 'tag' ? ':' : '@'}${referenceText(reference)}`
}
