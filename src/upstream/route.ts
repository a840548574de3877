import { looksLikeRegistry, parseRegistry, parseRepository, type Repository } from '../oci/reference.ts'

/** One configured upstream: the namespace it serves and the other names under which clients ask for it. */
export type RouteEntry = {
  readonly registry: string
  readonly aliases: readonly string[]
  /** Host names under which this proxy is the registry itself. Ports are not looked at. */
  readonly virtualHosts: readonly string[]
}

/** What a request says about where it wants to go; checked for grammar, not for meaning. `name` absent: a ping. */
export type RouteInput = {
  readonly ns: string | undefined
  readonly prefix: string | undefined
  readonly name?: string | undefined
}

type Via = 'ns' | 'path' | 'prefix' | 'virtual-host' | 'default'

type RouteError = {
  readonly ok: false
  readonly status: 400 | 404
  readonly code: 'NAME_INVALID' | 'NAME_UNKNOWN'
  readonly message: string
}

type Route =
  | { readonly ok: true; readonly repository: Repository; readonly registry: string; readonly via: Via }
  /** A ping. It names no registry where there is no default; it is answered all the same. */
  | {
      readonly ok: true
      readonly repository: undefined
      readonly registry: string | undefined
      readonly via: Via
    }
  | RouteError

export type Router = {
  route(input: RouteInput, hostHeader: string | undefined): Route
}

/**
 * A closed world: every registry that can be named is in `table`, and each name leads to exactly one, so no request
 * ever chooses where the proxy connects to. Throws TypeError for a table with an invalid name or one name twice.
 */
export function createRouter(table: readonly RouteEntry[], defaultRegistry: string | undefined): Router {
  const registries = indexBy(table, ({ registry, aliases }) => [registry, ...aliases].map(registryKey))
  const virtualHosts = indexBy(table, (entry) => entry.virtualHosts.map(virtualHostKey))
  if (new Set(table.map(({ registry }) => registryKey(registry))).size < table.length) {
    throw new TypeError('one registry is configured twice')
  }
  const fallback = defaultRegistry === undefined ? undefined : registries.get(registryKey(defaultRegistry))
  if (defaultRegistry !== undefined && fallback === undefined) {
    throw new TypeError(`the default registry ${defaultRegistry} is not configured`)
  }
  return { route: (input, hostHeader) => route(input, hostHeader, { registries, virtualHosts, fallback }) }
}

type Tables = {
  /** Namespace or alias, canonical -> canonical registry. */
  readonly registries: ReadonlyMap<string, string>
  readonly virtualHosts: ReadonlyMap<string, string>
  readonly fallback: string | undefined
}

/** One thing in a request that says which registry is meant; `registry` is undefined where it names none of ours. */
type Source = { readonly via: Via; readonly registry: string | undefined }

function route(input: RouteInput, hostHeader: string | undefined, tables: Tables): Route {
  const named = namedSources(input, hostHeader, tables)
  const path = pathSource(input.name, named.length > 0, tables)
  const sources = path === undefined ? named : [...named, path.source]
  const problem = problemOf(sources)
  if (problem !== undefined) return problem
  const [chosen] = sources
  const registry = chosen?.registry ?? tables.fallback
  const via = chosen?.via ?? 'default'
  if (input.name === undefined) return { ok: true, repository: undefined, registry, via }
  if (registry === undefined)
    return refuse(404, 'NAME_UNKNOWN', 'the request names no registry and there is no default')
  const repository = parseRepository(registry, path?.name ?? input.name)
  if (repository === undefined) return refuse(400, 'NAME_INVALID', 'the repository name is not valid')
  return { ok: true, repository, registry, via }
}

function problemOf(sources: readonly Source[]): RouteError | undefined {
  if (sources.some(({ registry }) => registry === undefined)) {
    return refuse(404, 'NAME_UNKNOWN', 'this registry is not configured here')
  }
  // A client and a policy that follow different sources would mean different images by one request.
  if (new Set(sources.map(({ registry }) => registry)).size > 1) {
    return refuse(400, 'NAME_INVALID', 'the request names two different registries')
  }
  return undefined
}

function namedSources(input: RouteInput, hostHeader: string | undefined, tables: Tables): Source[] {
  const sources: Source[] = []
  const add = (via: Via, text: string) => sources.push({ via, registry: lookUp(tables, text) })
  if (input.ns !== undefined) add('ns', input.ns)
  if (input.prefix !== undefined) add('prefix', input.prefix)
  // Any host may reach this proxy under its own name, so a host that is no virtual host says nothing.
  const virtual = hostHeader === undefined ? undefined : tables.virtualHosts.get(hostKey(hostHeader))
  if (virtual !== undefined) sources.push({ via: 'virtual-host', registry: virtual })
  return sources
}

/**
 * The registry that the name itself begins with. Where something else names one, only a component with the look of a
 * registry that is configured counts: `docker.io/hub/app` is a repository of Docker Hub even if `hub` is an alias here.
 */
function pathSource(
  name: string | undefined,
  named: boolean,
  tables: Tables,
): { source: Source; name: string } | undefined {
  const slash = name?.indexOf('/') ?? -1
  if (name === undefined || slash === -1) return undefined
  const first = name.slice(0, slash)
  const registry = lookUp(tables, first)
  const hostLike = looksLikeRegistry(first)
  if (named ? !hostLike || registry === undefined : !hostLike && registry === undefined) return undefined
  return { source: { via: 'path', registry }, name: name.slice(slash + 1) }
}

function lookUp(tables: Tables, text: string): string | undefined {
  const registry = parseRegistry(text)
  return registry === undefined ? undefined : tables.registries.get(registry)
}

function indexBy(table: readonly RouteEntry[], keysOf: (entry: RouteEntry) => string[]): Map<string, string> {
  const index = new Map<string, string>()
  for (const entry of table) {
    const registry = registryKey(entry.registry)
    for (const key of keysOf(entry)) {
      const before = index.get(key)
      if (before !== undefined && before !== registry) {
        throw new TypeError(`${key} leads to both ${before} and ${registry}`)
      }
      index.set(key, registry)
    }
  }
  return index
}

function registryKey(text: string): string {
  const registry = parseRegistry(text)
  if (registry === undefined) throw new TypeError(`${text} is not a registry`)
  return registry
}

function virtualHostKey(text: string): string {
  const key = hostKey(text)
  if (parseRegistry(key) === undefined) throw new TypeError(`${text} is not a host name`)
  return key
}

/** Host names compare without case, port and the root's dot (RFC 3986 section 3.2.2). */
export function hostKey(text: string): string {
  return text
    .toLowerCase()
    .replace(/:[0-9]*$/, '')
    .replace(/\.$/, '')
}

function refuse(status: RouteError['status'], code: RouteError['code'], message: string): RouteError {
  return { ok: false, status, code, message }
}
