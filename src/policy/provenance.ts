import { listAt, placeAt, predicatePlace, refine, textAt, type Claimed, type Place } from './claimed.ts'
import { isRecord } from './problem.ts'
import { isRef, parseSourceUri, type SourceLocation } from './source-uri.ts'

/**
 * SLSA provenance of every version, read into one shape. Claims of whoever signed it; nothing of it is checked here. What
 * can be long is read when it is asked for: whoever signs chooses how long it is, and often only the builder counts.
 */

const V0_1 = 'https://slsa.dev/provenance/v0.1'
const V0_2 = 'https://slsa.dev/provenance/v0.2'
const V1 = 'https://slsa.dev/provenance/v1'

export const PROVENANCE_TYPES: ReadonlySet<string> = new Set([V0_1, V0_2, V1])

type Material = {
  readonly uri: Claimed<string>
  /** Algorithm to hex, as the provenance has them. */
  readonly digests: ReadonlyMap<string, string>
}

export type Provenance = {
  readonly builderId: Claimed<string>
  readonly buildType: Claimed<string>
  /** In the spelling of `parseSourceUri`. */
  readonly sourceRepository: Claimed<string>
  readonly sourceRef: Claimed<string>
  /** The commit, hex. */
  readonly sourceDigest: Claimed<string>
  /** The workflow or build configuration within the source. */
  readonly sourcePath: Claimed<string>
  /** `materials`, since v1 `resolvedDependencies`. */
  readonly materials: Claimed<readonly Material[]>
  readonly invocationId: Claimed<string>
  /** What whoever started the build could choose. */
  readonly parameters: Claimed<unknown>
}

/** Builds have tens, the largest some hundred; each is held against every pattern of a policy. */
const MATERIALS_MAX = 1000
const DIGESTS_MAX = 16
const HEX = /^[0-9a-f]{40,128}$/
/** What a git commit is called: since v1 `gitCommit` (in-toto DigestSet), before that by its algorithm. */
const COMMIT_ALGORITHMS = ['gitCommit', 'sha1', 'sha256'] as const

/** `predicateType` is one of PROVENANCE_TYPES. */
export function readProvenance(predicateType: string, predicate: unknown): Provenance {
  const place = predicatePlace(predicate)
  if (predicateType === V1) return readV1(place)
  return predicateType === V0_2 ? readV0_2(place) : readV0_1(place)
}

/** https://slsa.dev/spec/v1.0/provenance: where the source is told depends on the build type. */
function readV1(predicate: Place): Provenance {
  const definition = placeAt(predicate, 'buildDefinition')
  const details = placeAt(predicate, 'runDetails')
  const buildType = textAt(placeAt(definition, 'buildType'))
  const materials = once(() => materialsAt(placeAt(definition, 'resolvedDependencies')))
  const source = sourceV1(buildType, definition)
  const { repository, ref } = located(source)
  return {
    builderId: textAt(placeAt(details, 'builder', 'id')),
    buildType,
    sourceRepository: repository,
    sourceRef: ref,
    get sourceDigest() {
      return commitOf(repository, ref, materials())
    },
    sourcePath: source.path,
    get materials() {
      return materials()
    },
    invocationId: textAt(placeAt(details, 'metadata', 'invocationId')),
    parameters: valueAt(placeAt(definition, 'externalParameters')),
  }
}

/** https://slsa.dev/spec/v0.2/provenance: the source is in the same place for every build type. */
function readV0_2(predicate: Place): Provenance {
  const source = placeAt(predicate, 'invocation', 'configSource')
  const { repository, ref } = located({ uri: textAt(placeAt(source, 'uri')) })
  const materials = once(() => materialsAt(placeAt(predicate, 'materials')))
  return {
    ...readV0(predicate),
    buildType: textAt(placeAt(predicate, 'buildType')),
    sourceRepository: repository,
    sourceRef: ref,
    get sourceDigest() {
      return commitAt(placeAt(source, 'digest'))
    },
    sourcePath: textAt(placeAt(source, 'entryPoint')),
    get materials() {
      return materials()
    },
    parameters: valueAt(placeAt(predicate, 'invocation', 'parameters')),
  }
}

/** https://slsa.dev/spec/v0.1/provenance: the source is the material that the recipe names by its index. */
function readV0_1(predicate: Place): Provenance {
  const recipe = placeAt(predicate, 'recipe')
  const buildType = textAt(placeAt(recipe, 'type'))
  const source = sourceV0_1(placeAt(recipe, 'definedInMaterial'), buildType, placeAt(predicate, 'materials'))
  const { repository, ref } = located({ uri: textAt(placeAt(source, 'uri')) })
  const materials = once(() => materialsAt(placeAt(predicate, 'materials')))
  return {
    ...readV0(predicate),
    buildType,
    sourceRepository: repository,
    sourceRef: ref,
    get sourceDigest() {
      return commitAt(placeAt(source, 'digest'))
    },
    sourcePath: textAt(placeAt(recipe, 'entryPoint')),
    get materials() {
      return materials()
    },
    parameters: valueAt(placeAt(recipe, 'arguments')),
  }
}

function readV0(predicate: Place): Pick<Provenance, 'builderId' | 'invocationId'> {
  const standard = textAt(placeAt(predicate, 'metadata', 'buildInvocationId'))
  // in-toto's Go types, and so slsa-github-generator, spell it with a capital D.
  const spelled = textAt(placeAt(predicate, 'metadata', 'buildInvocationID'))
  return {
    builderId: textAt(placeAt(predicate, 'builder', 'id')),
    invocationId: spelled.lack === undefined ? spelled : standard,
  }
}

type Source = {
  readonly uri: Claimed<string>
  /** Where the build type has a place of its own for it; then the URI must have none. */
  readonly ref?: Claimed<string>
  readonly path: Claimed<string>
}

/** Build types whose source is in a place that only the builder, or whoever starts the build for all to see, can fill. */
const SOURCES_V1: ReadonlyMap<string, (definition: Place) => Source> = new Map([
  ['https://actions.github.io/buildtypes/workflow/v1', workflowSource('workflow')],
  ['https://slsa-framework.github.io/github-actions-buildtypes/workflow/v1', workflowSource('workflow')],
  ['https://cloud.google.com/build/gcb-buildtypes/google-worker/v1', workflowSource('buildConfigSource')],
  [
    'https://slsa.dev/container-based-build/v0.1?draft',
    (definition) => ({
      uri: textAt(placeAt(definition, 'externalParameters', 'source', 'uri')),
      path: textAt(placeAt(definition, 'externalParameters', 'configPath')),
    }),
  ],
  [
    'https://github.com/slsa-framework/slsa-github-generator/delegator-generic@v0',
    (definition) => ({
      // The first dependency is the source by contract of the delegator (slsa-verifier, v1.0/base.go SourceURI).
      uri: textAt(placeAt(entryAt(placeAt(definition, 'resolvedDependencies'), 0), 'uri')),
      path: { at: `${definition.at}.externalParameters`, lack: 'does not tell it for this build type' },
    }),
  ],
  [
    'https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md',
    (definition) => ({
      uri: textAt(placeAt(definition, 'externalParameters', 'configSource', 'uri')),
      path: textAt(placeAt(definition, 'externalParameters', 'configSource', 'path')),
    }),
  ],
])

function workflowSource(key: string): (definition: Place) => Source {
  return (definition) => {
    const source = placeAt(definition, 'externalParameters', key)
    return {
      uri: textAt(placeAt(source, 'repository')),
      ref: textAt(placeAt(source, 'ref')),
      path: textAt(placeAt(source, 'path')),
    }
  }
}

function sourceV1(buildType: Claimed<string>, definition: Place): Source {
  const read = buildType.lack === undefined ? SOURCES_V1.get(buildType.value) : undefined
  if (read !== undefined) return read(definition)
  // Elsewhere the same names may hold what anybody who starts a build can write.
  const lack =
    buildType.lack === undefined ? 'is not known to tell the source for this build type' : buildType.lack
  const at = buildType.lack === undefined ? `${definition.at}.externalParameters` : buildType.at
  return { uri: { at, lack }, path: { at, lack } }
}

function sourceV0_1(index: Place, buildType: Claimed<string>, materials: Place): Place {
  const isCloudBuild = buildType.value?.startsWith('https://cloudbuild.googleapis.com/') === true
  if (index.json === undefined && isCloudBuild) return withoutCommitPath(entryAt(materials, 0))
  return typeof index.json === 'number' ? entryAt(materials, index.json) : { at: index.at, json: undefined }
}

/** Google Cloud Build's first provenance has the web page of the commit. */
function withoutCommitPath(material: Place): Place {
  const uri = placeAt(material, 'uri').json
  if (typeof uri !== 'string') return material
  const json = { uri: uri.replace(/\/commit\/[0-9a-f]{40}$/, ''), digest: placeAt(material, 'digest').json }
  return { at: material.at, json }
}

function located({ uri, ref }: Pick<Source, 'uri' | 'ref'>): {
  readonly repository: Claimed<string>
  readonly ref: Claimed<string>
} {
  const location = refine(uri, (text): { value: SourceLocation } | { lack: string } => {
    const parsed = parseSourceUri(text)
    if (typeof parsed === 'string') return { lack: parsed }
    return ref !== undefined && parsed.ref !== undefined
      ? { lack: 'has a ref beside the one that counts' }
      : { value: parsed }
  })
  return {
    repository: refine(location, ({ repository }) => ({ value: repository })),
    ref:
      ref === undefined
        ? refine(location, (found) =>
            found.ref === undefined ? { lack: 'has no ref' } : { value: found.ref },
          )
        : refine(ref, (text) => (isRef(text) ? { value: text } : { lack: 'is no plain ref' })),
  }
}

/** The commit of the one dependency that is the source. */
function commitOf(
  repository: Claimed<string>,
  ref: Claimed<string>,
  materials: Claimed<readonly Material[]>,
): Claimed<string> {
  return refine(materials, (entries) => {
    const commits = entries.flatMap(({ uri, digests }) => {
      const location = uri.lack === undefined ? parseSourceUri(uri.value) : ''
      if (typeof location === 'string' || location.repository !== repository.value) return []
      if (location.ref !== undefined && location.ref !== ref.value) return []
      return commitAmong(digests) ?? []
    })
    const [commit, ...others] = new Set(commits)
    if (commit === undefined) return { lack: 'has no commit of the source' }
    return others.length === 0 ? { value: commit } : { lack: 'has several commits of the source' }
  })
}

function commitAt(place: Place): Claimed<string> {
  const commit = commitAmong(digestsAt(place))
  return commit === undefined ? { at: place.at, lack: 'has no commit' } : { at: place.at, value: commit }
}

function commitAmong(digests: ReadonlyMap<string, string>): string | undefined {
  const named = COMMIT_ALGORITHMS.map((algorithm) => digests.get(algorithm))
  return named.find((digest) => digest !== undefined && HEX.test(digest))
}

function materialsAt(place: Place): Claimed<readonly Material[]> {
  return refine(listAt(place, MATERIALS_MAX), (entries) => ({
    value: entries.map((entry) => ({
      uri: textAt(placeAt(entry, 'uri')),
      digests: digestsAt(placeAt(entry, 'digest')),
    })),
  }))
}

function digestsAt({ json }: Place): ReadonlyMap<string, string> {
  const entries = isRecord(json) ? Object.entries(json).slice(0, DIGESTS_MAX) : []
  return new Map(entries.flatMap(([name, hex]) => (typeof hex === 'string' ? [[name, hex] as const] : [])))
}

function entryAt({ at, json }: Place, index: number): Place {
  const entries: readonly unknown[] = Array.isArray(json) ? json : []
  return { at: `${at}[${index}]`, json: entries[index] }
}

function valueAt({ at, json }: Place): Claimed<unknown> {
  return json === undefined ? { at, lack: 'is missing' } : { at, value: json }
}

function once<T>(read: () => T): () => T {
  let known: { readonly value: T } | undefined
  return () => (known ??= { value: read() }).value
}
