import { pathText, type Finding, type Path } from '../policy/problem.ts'
import type { ReadFile } from './environment.ts'
import { checkColdSockets } from './cold-sockets.ts'
import { listenerPaths, type DataListenerEntry } from './listen-schema.ts'
import type { PolicyBundleDocument } from './policy-bundle-schema.ts'
import { resolveRings, tokenFiles } from './resolve-rings.ts'
import type { Config, ConfigDocument, UpstreamEntry } from './schema.ts'
import type { TrustRootEntry } from './trust-schema.ts'

const TLS_FILES = ['cert', 'key', 'clientCa'] as const

/** A file that the configuration names and that must be there. */
type NamedFile = { readonly at: Path; readonly path: string }

/**
 * Turns a checked document into the configuration of the program: paths as the process sees them, secrets and
 * certificates read. A file that cannot be read is found now and not at the first pull that needs it.
 */
export async function resolveConfig(
  document: ConfigDocument,
  pathOf: (path: string, at: Path) => string,
  readFile: ReadFile,
): Promise<{ readonly config: Config; readonly findings: readonly Finding[] }> {
  const texts = new Map<string, string>()
  const findings: Finding[] = []
  const reads = namedFiles(document).map(async ({ at, path }) => {
    try {
      texts.set(pathText(at), await readFile(pathOf(path, at)))
    } catch (error) {
      const reason = error instanceof Error ? error.message : 'unknown error'
      findings.push({ path: at, message: `found no readable file: ${reason}` })
    }
  })
  await Promise.all(reads)
  const textAt = (...at: Path): string => texts.get(pathText(at)) ?? ''
  const upstreams = Object.entries(document.upstreams).map(([registry, upstream]) => {
    const headersTimeoutMs = Math.min(upstream.headersTimeoutMs, document.deadlines.pullMs / 2)
    return [registry, upstreamEntry(registry, { ...upstream, headersTimeoutMs }, textAt)] as const
  })
  const { rings, findings: tokens } = resolveRings(document.rings, texts)
  findings.push(...tokens)
  const config = { ...withPaths(document, pathOf), upstreams: new Map(upstreams), rings }
  findings.push(...checkColdSockets(config))
  return { config, findings: findings.toSorted((a, b) => (pathText(a.path) < pathText(b.path) ? -1 : 1)) }
}

function namedFiles(document: ConfigDocument): readonly NamedFile[] {
  const { listen, upstreams, rings, trust, policies, dockerConfig } = document
  const named: { at: Path; path: string | undefined }[] = [
    { at: ['dockerConfig'], path: dockerConfig },
    ...tokenFiles(rings),
  ]
  for (const [path, { tls }] of listenerPaths(listen)) {
    for (const key of TLS_FILES) named.push({ at: [...path, 'tls', key], path: tls?.[key] })
  }
  for (const [registry, { auth, ca }] of Object.entries(upstreams)) {
    named.push({ at: ['upstreams', registry, 'auth', 'passwordFile'], path: auth?.passwordFile })
    named.push({ at: ['upstreams', registry, 'ca'], path: ca })
  }
  for (const [index, { key }] of (policies.bundle?.signers ?? []).entries()) {
    named.push({ at: ['policies', 'bundle', 'signers', index, 'key'], path: key })
  }
  for (const [name, root] of Object.entries(trust.roots)) {
    for (const [at, path] of trustFiles(root)) named.push({ at: ['trust', 'roots', name, ...at], path })
  }
  return named.flatMap(({ at, path }) => (path === undefined ? [] : [{ at, path }]))
}

/** The files of a root, by where the root names them. */
function trustFiles(root: TrustRootEntry): readonly (readonly [Path, string])[] {
  switch (root.kind) {
    case 'public-good':
      return []
    case 'tuf':
      return root.root === undefined ? [] : [[['root'], root.root]]
    // Not `previous`: its file may be gone as soon as its time has ended.
    case 'pinned':
      return [[['path'], root.path]]
    case 'pki':
      return [[['certificates'], root.certificates]]
    case 'keys':
      return root.keys.map(({ path }, index) => [['keys', index, 'path'], path])
  }
}

/** The same root with its files as the process sees them. */
function withFiles(root: TrustRootEntry, pathOf: (path: string, at: Path) => string): TrustRootEntry {
  switch (root.kind) {
    case 'public-good':
      return root
    case 'tuf':
      return root.root === undefined ? root : { ...root, root: pathOf(root.root, ['root']) }
    case 'pinned': {
      const { previous } = root
      const before =
        previous === undefined
          ? {}
          : { previous: { ...previous, path: pathOf(previous.path, ['previous', 'path']) } }
      return { ...root, path: pathOf(root.path, ['path']), ...before }
    }
    case 'pki':
      return { ...root, certificates: pathOf(root.certificates, ['certificates']) }
    case 'keys': {
      const own = root.keys.map((key, index) => ({ ...key, path: pathOf(key.path, ['keys', index, 'path']) }))
      return { ...root, keys: own }
    }
  }
}

function upstreamEntry(
  registry: string,
  upstream: ConfigDocument['upstreams'][string],
  textAt: (...at: Path) => string,
): UpstreamEntry {
  const { url, auth, ca, ...rest } = upstream
  const at = ['upstreams', registry]
  const password = auth?.password ?? textAt(...at, 'auth', 'passwordFile').replace(/\r?\n$/, '')
  return {
    ...rest,
    registry,
    url: (url ?? `https://${registry}`).replace(/\/+$/, ''),
    ...(auth === undefined ? {} : { auth: { username: auth.username, password } }),
    ...(ca === undefined ? {} : { ca: textAt(...at, 'ca') }),
  }
}

function withPaths(
  document: ConfigDocument,
  pathOf: (path: string, at: Path) => string,
): Omit<Config, 'upstreams' | 'rings'> {
  const { listen, policies, dockerConfig, trust } = document
  const { directory, bundle, ...rules } = policies
  const roots = Object.entries(trust.roots).map(([name, root]): [string, TrustRootEntry] => {
    return [name, withFiles(root, (path, below) => pathOf(path, ['trust', 'roots', name, ...below]))]
  })
  const publications = Object.entries(trust.publications).map(([name, { directory: place }]) => {
    return [name, pathOf(place, ['trust', 'publications', name, 'directory'])] as const
  })
  return {
    ...document,
    dataDirectory: pathOf(document.dataDirectory, ['dataDirectory']),
    listen: {
      ...listen,
      data: withTlsFiles(listen.data, ['listen', 'data'], pathOf),
      additional: listen.additional.map((one, index) =>
        withTlsFiles(one, ['listen', 'additional', index], pathOf),
      ),
    },
    policies: {
      ...rules,
      ...(directory === undefined ? {} : { directory: pathOf(directory, ['policies', 'directory']) }),
      ...(bundle === undefined ? {} : { bundle: withKeyFiles(bundle, pathOf) }),
    },
    trust: { ...trust, roots: new Map(roots), publications: new Map(publications) },
    ...(dockerConfig === undefined ? {} : { dockerConfig: pathOf(dockerConfig, ['dockerConfig']) }),
  }
}

function withKeyFiles(
  bundle: PolicyBundleDocument,
  pathOf: (path: string, at: Path) => string,
): PolicyBundleDocument {
  const signers = bundle.signers.map((signer, index) => {
    const at = ['policies', 'bundle', 'signers', index, 'key']
    return signer.key === undefined ? signer : { ...signer, key: pathOf(signer.key, at) }
  })
  return { ...bundle, signers }
}

function withTlsFiles<Entry extends Pick<DataListenerEntry, 'tls'>>(
  listener: Entry,
  at: Path,
  pathOf: (path: string, at: Path) => string,
): Entry {
  const { tls } = listener
  if (tls === undefined) return listener
  const place = (key: (typeof TLS_FILES)[number], path: string) => pathOf(path, [...at, 'tls', key])
  const clientCa = tls.clientCa === undefined ? {} : { clientCa: place('clientCa', tls.clientCa) }
  return {
    ...listener,
    tls: { ...tls, cert: place('cert', tls.cert), key: place('key', tls.key), ...clientCa },
  }
}
