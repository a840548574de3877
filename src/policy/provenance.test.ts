import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import test from 'node:test'
import fc from 'fast-check'
import {
  CLOUD_BUILD_V0_1,
  CLOUD_BUILD_V1,
  CLOUD_BUILDER,
  COMMIT,
  CONTAINER_BASED_V1,
  DELEGATED_V1,
  GENERATOR,
  GENERATOR_V0_2,
  GITHUB_BUILDER,
  GITHUB_V1,
  TYPE,
} from '../testing/provenance.ts'
import { lackText, type Claimed } from './claimed.ts'
import { isRecord } from './problem.ts'
import { PROVENANCE_TYPES, readProvenance, type Provenance } from './provenance.ts'

/** Each claim as its value, or as what is wrong with it. */
function shown({ materials, ...claims }: Provenance): Record<string, unknown> {
  const entries = Object.entries(claims)
    .filter(([name]) => name !== 'parameters')
    .map(([name, claimed]) => [name, valueOf(claimed)])
  return { ...Object.fromEntries(entries), materials: materials.value?.map(({ uri }) => valueOf(uri)) }
}

function valueOf(claimed: Claimed<unknown>): unknown {
  return claimed.lack === undefined ? claimed.value : lackText(claimed)
}

const SOURCE = { sourceRepository: 'https://github.com/acme/app', sourceDigest: COMMIT }
const TAGGED = 'git+https://github.com/acme/app@refs/tags/v1.0.0'

const SHAPES: Readonly<Record<string, readonly [type: string, predicate: unknown, expected: unknown]>> = {
  'GitHub artifact attestation': [
    TYPE.v1,
    GITHUB_V1,
    {
      ...SOURCE,
      builderId: GITHUB_BUILDER,
      buildType: 'https://actions.github.io/buildtypes/workflow/v1',
      sourceRef: 'refs/tags/v1.0.0',
      sourcePath: '.github/workflows/release.yml',
      invocationId: 'https://github.com/acme/app/actions/runs/14095611671/attempts/1',
      materials: [TAGGED],
    },
  ],
  'slsa-github-generator, v0.2': [
    TYPE.v0_2,
    GENERATOR_V0_2,
    {
      ...SOURCE,
      builderId: GENERATOR,
      buildType: 'https://github.com/slsa-framework/slsa-github-generator/container@v1',
      sourceRef: 'refs/tags/v1.0.0',
      sourcePath: '.github/workflows/release.yml',
      invocationId: '8790-1',
      materials: [TAGGED],
    },
  ],
  'slsa-github-generator, delegator': [
    TYPE.v1,
    DELEGATED_V1,
    {
      ...SOURCE,
      builderId: DELEGATED_V1.runDetails.builder.id,
      buildType: 'https://github.com/slsa-framework/slsa-github-generator/delegator-generic@v0',
      sourceRef: 'refs/tags/v1.0.0',
      sourcePath: 'predicate.buildDefinition.externalParameters does not tell it for this build type',
      invocationId: 'https://github.com/acme/app/actions/runs/13530999948/attempts/1',
      materials: [TAGGED],
    },
  ],
  'slsa-github-generator, container-based': [
    TYPE.v1,
    CONTAINER_BASED_V1,
    {
      ...SOURCE,
      builderId: GENERATOR,
      buildType: 'https://slsa.dev/container-based-build/v0.1?draft',
      sourceRef: 'refs/tags/v1.0.0',
      sourcePath: '.github/build.toml',
      invocationId: 'https://github.com/acme/app/1',
      materials: [TAGGED],
    },
  ],
  'Google Cloud Build, v1': [
    TYPE.v1,
    CLOUD_BUILD_V1,
    {
      ...SOURCE,
      builderId: CLOUD_BUILDER,
      buildType: 'https://cloud.google.com/build/gcb-buildtypes/google-worker/v1',
      sourceRef: 'refs/heads/main',
      sourcePath: 'cloudbuild.yaml',
      invocationId: CLOUD_BUILD_V1.runDetails.metadata.invocationId,
      materials: CLOUD_BUILD_V1.buildDefinition.resolvedDependencies.map(({ uri }) => uri),
    },
  ],
  'Google Cloud Build, v0.1': [
    TYPE.v0_1,
    CLOUD_BUILD_V0_1,
    {
      ...SOURCE,
      builderId: `${CLOUD_BUILDER}@v0.3`,
      buildType: 'https://cloudbuild.googleapis.com/CloudBuildYaml@v0.1',
      sourceRef: 'predicate.materials[0].uri has no ref',
      sourcePath: 'cloudbuild.yaml',
      invocationId: '11f6c682-3451-4f72-ac2a-8e386eab66af',
      materials: [`https://github.com/acme/app/commit/${COMMIT}`],
    },
  ],
}

for (const [name, [type, predicate, expected]] of Object.entries(SHAPES)) {
  test(`${name} is read into the one shape`, () => {
    assert.deepEqual(shown(readProvenance(type, predicate)), expected)
  })
}

const { workflow } = GITHUB_V1.buildDefinition.externalParameters

function github(changes: Record<string, unknown>): unknown {
  return { ...GITHUB_V1, buildDefinition: { ...GITHUB_V1.buildDefinition, ...changes } }
}

function fromWorkflow(changes: Record<string, unknown>): unknown {
  return github({ externalParameters: { workflow: { ...workflow, ...changes } } })
}

const HOSTILE: Readonly<
  Record<string, readonly [type: string, predicate: unknown, field: keyof Provenance, problem: string]>
> = {
  'no predicate': [TYPE.v1, undefined, 'builderId', 'predicate.runDetails.builder.id is missing'],
  'a list for a predicate': [TYPE.v0_2, [], 'builderId', 'predicate.builder.id is missing'],
  'a builder that is no object': [
    TYPE.v0_2,
    { builder: 'x' },
    'builderId',
    'predicate.builder.id is missing',
  ],
  'a builder id that is a list': [
    TYPE.v0_2,
    { builder: { id: [GENERATOR] } },
    'builderId',
    'predicate.builder.id is no text',
  ],
  'an empty builder id': [TYPE.v0_2, { builder: { id: '' } }, 'builderId', 'predicate.builder.id is empty'],
  'an endless builder id': [
    TYPE.v0_2,
    { builder: { id: 'x'.repeat(5000) } },
    'builderId',
    'predicate.builder.id is longer than 2048 characters',
  ],
  'a builder in the prototype': [
    TYPE.v0_2,
    JSON.parse(`{"__proto__": {"builder": {"id": "${GENERATOR}"}}}`),
    'builderId',
    'predicate.builder.id is missing',
  ],
  'a key that every object has': [
    TYPE.v1,
    github({ buildType: 'constructor' }),
    'sourceRepository',
    'predicate.buildDefinition.externalParameters is not known to tell the source for this build type',
  ],
  'a source that only looks like the repository': [
    TYPE.v1,
    fromWorkflow({ repository: 'https://github.com@evil.example/acme/app' }),
    'sourceRepository',
    'predicate.buildDefinition.externalParameters.workflow.repository has no plain host name',
  ],
  'two refs': [
    TYPE.v1,
    fromWorkflow({ repository: 'https://github.com/acme/app@refs/heads/evil' }),
    'sourceRepository',
    'predicate.buildDefinition.externalParameters.workflow.repository has a ref beside the one that counts',
  ],
  'a ref that walks': [
    TYPE.v1,
    fromWorkflow({ ref: 'refs/heads/../tags/v1' }),
    'sourceRef',
    'predicate.buildDefinition.externalParameters.workflow.ref is no plain ref',
  ],
  'user parameters in the place of the source under another build type': [
    TYPE.v1,
    github({ buildType: 'https://evil.example/buildtype/v1' }),
    'sourceRepository',
    'predicate.buildDefinition.externalParameters is not known to tell the source for this build type',
  ],
  'two commits of the source': [
    TYPE.v1,
    github({
      resolvedDependencies: [
        { uri: 'git+https://github.com/acme/app@refs/tags/v1.0.0', digest: { gitCommit: COMMIT } },
        { uri: 'git+https://github.com/acme/app', digest: { gitCommit: 'a'.repeat(40) } },
      ],
    }),
    'sourceDigest',
    'predicate.buildDefinition.resolvedDependencies has several commits of the source',
  ],
  'the commit of another ref': [
    TYPE.v1,
    github({
      resolvedDependencies: [
        { uri: 'git+https://github.com/acme/app@refs/heads/main', digest: { gitCommit: COMMIT } },
      ],
    }),
    'sourceDigest',
    'predicate.buildDefinition.resolvedDependencies has no commit of the source',
  ],
  'a commit that is no hash': [
    TYPE.v0_2,
    { invocation: { configSource: { digest: { sha1: 'HEAD' } } } },
    'sourceDigest',
    'predicate.invocation.configSource.digest has no commit',
  ],
  'too many materials': [
    TYPE.v0_2,
    { materials: Array.from({ length: 1001 }, () => ({})) },
    'materials',
    'predicate.materials has more than 1000 entries',
  ],
  'a material index out of the list': [
    TYPE.v0_1,
    { ...CLOUD_BUILD_V0_1, recipe: { ...CLOUD_BUILD_V0_1.recipe, definedInMaterial: -1 } },
    'sourceRepository',
    'predicate.materials[-1].uri is missing',
  ],
}

for (const [name, [type, predicate, field, problem]] of Object.entries(HOSTILE)) {
  test(`${name} is no claim`, () => {
    assert.equal(valueOf(readProvenance(type, predicate)[field]), problem)
  })
}

test('nothing that a predicate can hold throws, and every claim is a text or says what it lacks', () => {
  const type = fc.constantFrom(...PROVENANCE_TYPES)
  const known = fc.dictionary(
    fc.constantFrom(
      'builder',
      'invocation',
      'materials',
      'recipe',
      'buildDefinition',
      'runDetails',
      'metadata',
    ),
    fc.jsonValue(),
  )
  fc.assert(
    fc.property(type, fc.oneof(fc.jsonValue(), known), (predicateType, predicate) => {
      const { materials: _, parameters: __, ...claims } = readProvenance(predicateType, predicate)
      for (const claimed of Object.values(claims)) {
        assert.equal(typeof (claimed.lack ?? claimed.value), 'string')
      }
    }),
  )
})

const images = new URL('../../../shared/fixtures/images/', import.meta.url)
const skip = existsSync(images) ? false : 'no fixtures beside the project'

test('published provenance of three releases of slsa-github-generator', { skip }, () => {
  for (const version of ['v1.4.0', 'v1.9.0', 'v2.0.0']) {
    const provenance = readProvenance(TYPE.v0_2, publishedPredicate(version))
    assert.equal(
      provenance.builderId.value,
      `https://github.com/slsa-framework/slsa-github-generator/.github/workflows/generator_container_slsa3.yml@refs/tags/${version}`,
    )
    assert.equal(provenance.sourceRepository.value, 'https://github.com/slsa-framework/example-package')
    assert.match(provenance.sourceRef.value ?? '', /^refs\/(?:heads\/main|tags\/v13\.0\.30)$/)
    assert.match(provenance.sourceDigest.value ?? '', /^[0-9a-f]{40}$/)
    assert.match(provenance.invocationId.value ?? '', /^[0-9]+-1$/)
    assert.equal(provenance.materials.value?.length, 1)
  }
})

function publishedPredicate(version: string): unknown {
  const blobs = new URL(`${version}/blobs/sha256/`, images)
  for (const name of readdirSync(blobs)) {
    const bytes = readFileSync(new URL(name, blobs))
    if (bytes[0] !== 0x7b) continue
    const envelope: unknown = JSON.parse(bytes.toString())
    if (!isRecord(envelope) || typeof envelope['payload'] !== 'string') continue
    const statement: unknown = JSON.parse(Buffer.from(envelope['payload'], 'base64').toString())
    if (isRecord(statement)) return statement['predicate']
  }
  return undefined
}
