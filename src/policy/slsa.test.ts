import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import {
  actionsSigner,
  attestedBy,
  CLOUD_BUILD_V1,
  CLOUD_BUILDER,
  COMMIT,
  DELEGATED_V1,
  DELEGATOR,
  GENERATOR,
  GENERATOR_V0_2,
  GITHUB_BUILDER,
  GITHUB_V1,
  IMAGE,
  KEY_SIGNER,
  signedBy,
  TYPE,
} from '../testing/provenance.ts'
import type { Verified } from '../verify/types.ts'
import { pathText } from './problem.ts'
import { compileSlsa, slsaSchema } from './slsa.ts'
import type { ClaimCheck, Shortfall } from './types.ts'

type Compiled = { readonly checks: readonly ClaimCheck[]; readonly problems: readonly string[] }

function compiled(document: unknown, type: string = TYPE.v1): Compiled {
  const problems: string[] = []
  const checks = compileSlsa(slsaSchema.parse(document), type, ['slsa'], (path, message) => {
    problems.push(`${pathText(path)}: ${message}`)
    return undefined
  })
  return { checks, problems }
}

function judged(document: unknown, verified: Verified, type: string = TYPE.v1): Shortfall | undefined {
  const { checks, problems } = compiled(document, type)
  assert.deepEqual(problems, [])
  return checks.map((check) => check.check(verified, IMAGE)).find((shortfall) => shortfall !== undefined)
}

const attested = attestedBy(actionsSigner(), TYPE.v1, GITHUB_V1)

const FIELDS: Readonly<Record<string, readonly [accepted: unknown, other: unknown, found: RegExp]>> = {
  builders: [[GITHUB_BUILDER], [GENERATOR], /with builder https:\/\/github\.com\/acme\/app\//],
  sources: [['https://github.com/acme/app'], ['https://github.com/acme/other'], /source repository .*\/app$/],
  sourceRefs: [[{ pattern: 'refs/tags/v.*' }], ['refs/heads/main'], /with source ref refs\/tags\/v1\.0\.0$/],
  buildTypes: [
    ['https://actions.github.io/buildtypes/workflow/v1'],
    ['https://example.com/x'],
    /with build type https:\/\/actions/,
  ],
  materials: [['https://github.com/acme/app'], ['https://github.com/acme'], /with material git\+https/],
  invocations: [
    [{ pattern: 'https://github\\.com/acme/app/actions/runs/.*' }],
    ['1'],
    /with invocation https:/,
  ],
}

for (const [field, [accepted, other, found]] of Object.entries(FIELDS)) {
  test(`${field} changes the verdict`, () => {
    assert.equal(judged({ [field]: accepted }, attested), undefined)
    assert.match(judged({ [field]: other }, attested)?.found ?? '', found)
  })

  test(`${field} that the provenance does not name is a failure that says where`, () => {
    const shortfall = judged({ [field]: accepted }, attestedBy(actionsSigner(), TYPE.v1, {}))
    assert.match(shortfall?.found ?? '', /in which predicate\.\S+ is missing$/)
  })
}

test('both sentences of a shortfall read as one', () => {
  assert.deepEqual(judged({ builders: [GENERATOR] }, attested), {
    found: `a provenance attestation with builder ${GITHUB_BUILDER}`,
    expected: `builder ${GENERATOR}`,
  })
})

test('every material must match, by its URI or its repository, and no material is no proof', () => {
  const cloud = attestedBy(KEY_SIGNER, TYPE.v1, CLOUD_BUILD_V1)
  const image = { pattern: 'gcr\\.io/cloud-builders/.*' }
  assert.equal(judged({ materials: ['https://github.com/acme/app', image] }, cloud), undefined)
  assert.match(judged({ materials: [image] }, cloud)?.found ?? '', /with material git\+https/)
  assert.match(judged({ materials: ['https://github.com/acme/app'] }, cloud)?.found ?? '', /material gcr\.io/)
  const none = { ...GITHUB_V1, buildDefinition: { ...GITHUB_V1.buildDefinition, resolvedDependencies: [] } }
  const empty = judged({ materials: [image] }, attestedBy(KEY_SIGNER, TYPE.v1, none))
  assert.match(empty?.found ?? '', /resolvedDependencies is empty$/)
})

const generated = attestedBy(actionsSigner(GENERATOR), TYPE.v0_2, GENERATOR_V0_2)
const delegated = attestedBy(actionsSigner(DELEGATOR), TYPE.v1, DELEGATED_V1)
const DELEGATED = DELEGATED_V1.runDetails.builder.id
const HOSTED = 'https://github.com/actions/runner/github-hosted'

function withBuilder(id: string): unknown {
  return { ...GITHUB_V1, runDetails: { ...GITHUB_V1.runDetails, builder: { id } } }
}

const LEVELS: Readonly<Record<string, readonly [Verified, reached: number]>> = {
  "GitHub's attestation of a hosted runner": [attested, 2],
  'the same of a self-hosted runner': [
    attestedBy(actionsSigner(GITHUB_BUILDER, { runnerEnvironment: 'self-hosted' }), TYPE.v1, GITHUB_V1),
    0,
  ],
  'npm on a hosted runner': [attestedBy(actionsSigner(), TYPE.v1, withBuilder(HOSTED)), 2],
  'a workflow, signed with a key': [attestedBy(KEY_SIGNER, TYPE.v1, GITHUB_V1), 0],
  'slsa-github-generator': [generated, 3],
  'the same, signed with a key': [attestedBy(KEY_SIGNER, TYPE.v0_2, GENERATOR_V0_2), 0],
  'a builder of somebody else on slsa-github-generator': [delegated, 0],
  'a builder of slsa-github-generator by its delegator': [
    attestedBy(
      actionsSigner(DELEGATOR),
      TYPE.v1,
      withBuilder(GENERATOR.replace('generator_container', 'builder_nodejs')),
    ),
    3,
  ],
  'Google Cloud Build, by a key of whomever': [attestedBy(KEY_SIGNER, TYPE.v1, CLOUD_BUILD_V1), 0],
  'the same builder id by anybody with a certificate': [
    attestedBy(actionsSigner(), TYPE.v1, withBuilder(CLOUD_BUILDER)),
    0,
  ],
  'a generator at a branch': [
    attestedBy(
      actionsSigner(GENERATOR.replace('refs/tags/v2.1.0', 'refs/heads/main')),
      TYPE.v1,
      withBuilder(GENERATOR.replace('refs/tags/v2.1.0', 'refs/heads/main')),
    ),
    2,
  ],
}

for (const [name, [verified, reached]] of Object.entries(LEVELS)) {
  test(`${name}: level ${reached}`, () => {
    const type = verified.claim.kind === 'attestation' ? verified.claim.statement.predicateType : ''
    for (const level of [1, 2, 3]) {
      const isMet = judged({ level }, verified, type) === undefined
      assert.equal(isMet, level <= reached, `level ${level}`)
    }
  })
}

test('what a key signs reaches the level of a builder that the policy names', () => {
  const cloud = attestedBy(KEY_SIGNER, TYPE.v1, CLOUD_BUILD_V1)
  assert.equal(judged({ level: 3, builders: [CLOUD_BUILDER] }, cloud), undefined)
})

test('an entry states the level of a builder that is not known', () => {
  const builders = [{ id: DELEGATED, level: 3 }]
  assert.equal(judged({ level: 3, builders }, delegated), undefined)
  assert.match(
    judged({ level: 3, builders: [{ pattern: 'https://github\\.com/slsa-framework/.*' }] }, delegated)
      ?.found ?? '',
    /by a signer that makes it of no known SLSA Build level$/,
  )
})

const CONTRADICTIONS: Readonly<Record<string, readonly [Verified, found: RegExp]>> = {
  'a workflow of another repository': [
    attestedBy(
      actionsSigner(GITHUB_BUILDER, { sourceRepositoryURI: 'https://github.com/mallory/app' }),
      TYPE.v1,
      GITHUB_V1,
    ),
    /claims source repository \S+acme\/app, signed in a build with source repository \S+mallory\/app$/,
  ],
  'a workflow at another ref': [
    attestedBy(actionsSigner(GITHUB_BUILDER, { sourceRepositoryRef: 'refs/heads/evil' }), TYPE.v1, GITHUB_V1),
    /claims source ref refs\/tags\/v1\.0\.0, signed in a build with source ref refs\/heads\/evil$/,
  ],
  'a workflow at another commit': [
    attestedBy(actionsSigner(GITHUB_BUILDER, { sourceRepositoryDigest: 'b'.repeat(40) }), TYPE.v1, GITHUB_V1),
    /claims source digest \w+, signed in a build with source digest b{40}$/,
  ],
  'a workflow that poses as a builder': [
    attestedBy(actionsSigner(), TYPE.v1, withBuilder(GENERATOR)),
    /claims builder \S+generator_container\S+, signed in a build with builder \S+acme\/app\S+$/,
  ],
  'a self-hosted runner that poses as a hosted one': [
    attestedBy(
      actionsSigner(GITHUB_BUILDER, { runnerEnvironment: 'self-hosted' }),
      TYPE.v1,
      withBuilder(HOSTED),
    ),
    /claims builder \S+github-hosted, signed in a build with builder a self-hosted runner$/,
  ],
  "an old certificate, in GitHub's own extensions": [
    attestedBy(
      oldSigner({ githubWorkflowRepository: 'mallory/app', githubWorkflowSHA: COMMIT }),
      TYPE.v1,
      GITHUB_V1,
    ),
    /signed in a build with source repository https:\/\/github\.com\/mallory\/app$/,
  ],
}

function oldSigner(extensions: Record<string, string>): ReturnType<typeof actionsSigner> {
  const signer = actionsSigner()
  return signer.kind === 'key' ? signer : { ...signer, identity: { ...signer.identity, extensions } }
}

for (const [name, [verified, found]] of Object.entries(CONTRADICTIONS)) {
  test(`${name} is told by its certificate`, () => {
    const shortfall = judged({ buildTypes: [{ pattern: 'https://actions.github.io/.*' }] }, verified)
    assert.match(shortfall?.found ?? '', found)
    assert.equal(shortfall?.expected, "provenance of the signer's own build")
  })
}

const LOAD_PROBLEMS: Readonly<Record<string, readonly [document: unknown, problem: RegExp]>> = {
  'a level of an unknown builder': [
    { level: 3, builders: ['https://ci.example/builder'] },
    /^slsa\.builders\[0\]: .* not known to reach level 3; write \{id: https:\/\/ci\.example\/builder, level: 3\}/,
  ],
  'more than a workflow can reach': [{ level: 3, builders: [GITHUB_BUILDER] }, /not known to reach level 3/],
  'a stated level that is too low': [
    { level: 3, builders: [{ id: 'https://ci.example/builder', level: 2 }] },
    /found level 2, expected at least the slsa\.level 3/,
  ],
  'a stated level without effect': [
    { builders: [{ id: 'https://ci.example/builder', level: 2 }] },
    /no effect without slsa\.level/,
  ],
  'a builder pattern for anybody': [{ builders: [{ pattern: '.*' }] }, /builders\[0\]\.pattern: .*attacker/],
  'a ref pattern that takes pull requests': [
    { sourceRefs: [{ pattern: 'refs/.*' }] },
    /refs\/pull\/1\/merge/,
  ],
  'a source with git+': [
    { sources: ['git+https://github.com/acme/app'] },
    /another spelling, expected https:\/\/github\.com\/acme\/app$/,
  ],
  'a source with a ref': [{ sources: ['https://github.com/acme/app@refs/heads/main'] }, /under sourceRefs/],
  'a source without scheme': [{ sources: ['github.com/acme/app'] }, /is no http or https git URI/],
}

for (const [name, [document, problem]] of Object.entries(LOAD_PROBLEMS)) {
  test(`${name} does not load`, () => {
    assert.match(compiled(document).problems.join('\n'), problem)
  })
}

test('an empty shorthand, an unknown key and a level that there is not are no documents', () => {
  for (const document of [{}, { builder: ['x'] }, { level: 4 }, { level: 0 }, { builders: [] }]) {
    assert.equal(slsaSchema.safeParse(document).success, false, JSON.stringify(document))
  }
})

test('the canonical form tells meanings apart, and not the order of alternatives', () => {
  const canonical = (document: unknown): string =>
    compiled(document)
      .checks.map((one) => one.canonical)
      .join()
  const [a, b] = ['https://a.example/builder', 'https://b.example/builder']
  assert.equal(canonical({ builders: [a, b] }), canonical({ builders: [b, a] }))
  const others = [
    { builders: [a] },
    { builders: [{ pattern: 'https://a.example/builder' }] },
    { level: 1, builders: [{ id: a, level: 1 }] },
    { level: 1, builders: [{ id: a, level: 2 }] },
    { level: 2, builders: [{ id: a, level: 2 }] },
    { buildTypes: [a] },
    { invocations: [a] },
  ].map(canonical)
  assert.equal(new Set(others).size, others.length)
})

test('neither a signature nor a statement of another type shows anything', () => {
  const document = { buildTypes: ['https://actions.github.io/buildtypes/workflow/v1'] }
  for (const verified of [signedBy(actionsSigner()), attestedBy(actionsSigner(), TYPE.v0_2, GITHUB_V1)]) {
    assert.equal(judged(document, verified)?.found, 'no provenance attestation')
  }
})

test('nothing that a predicate can hold throws or passes without its builder', () => {
  const { checks } = compiled({ builders: [GITHUB_BUILDER], level: 2 })
  const parts = fc.record(
    {
      buildDefinition: fc.oneof(fc.jsonValue(), fc.constant(GITHUB_V1.buildDefinition)),
      runDetails: fc.oneof(
        fc.jsonValue(),
        fc.record({ builder: fc.record({ id: fc.oneof(fc.jsonValue(), fc.webUrl()) }) }),
      ),
    },
    { requiredKeys: [] },
  )
  fc.assert(
    fc.property(fc.oneof(fc.jsonValue(), parts), (predicate) => {
      const verified = attestedBy(actionsSigner(), TYPE.v1, predicate)
      for (const one of checks) assert.notEqual(one.check(verified, IMAGE), undefined)
    }),
  )
})
