import { digestOf } from '../oci/digest.ts'
import type { ImageFacts } from '../policy/types.ts'
import type { FulcioExtension, Signer, Verified } from '../verify/types.ts'

/** Provenance and verification summaries in the shapes that their makers publish, and who signs them. */

export const TYPE = {
  v0_1: 'https://slsa.dev/provenance/v0.1',
  v0_2: 'https://slsa.dev/provenance/v0.2',
  v1: 'https://slsa.dev/provenance/v1',
  vsa: 'https://slsa.dev/verification_summary/v1',
  vsa0_2: 'https://slsa.dev/verification_summary/v0.2',
} as const

export const COMMIT = '8f70009fde0c94ade6ce2a054b94718c819126ec'
export const IMAGE: ImageFacts = {
  registry: 'ghcr.io',
  name: 'acme/app',
  digest: digestOf(Buffer.from('image')),
}

export const GITHUB_BUILDER = 'https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1.0.0'
export const GENERATOR =
  'https://github.com/slsa-framework/slsa-github-generator/.github/workflows/generator_container_slsa3.yml@refs/tags/v2.1.0'
export const DELEGATOR =
  'https://github.com/slsa-framework/slsa-github-generator/.github/workflows/delegator_generic_slsa3.yml@refs/tags/v2.1.0'
export const CLOUD_BUILDER = 'https://cloudbuild.googleapis.com/GoogleHostedWorker'

type Extensions = Partial<Record<FulcioExtension, string>>

const SOURCE_OF_APP: Extensions = {
  sourceRepositoryURI: 'https://github.com/acme/app',
  sourceRepositoryRef: 'refs/tags/v1.0.0',
  sourceRepositoryDigest: COMMIT,
  runnerEnvironment: 'github-hosted',
}

/** A build of acme/app in GitHub Actions, with what Fulcio writes of it into the certificate. */
export function actionsSigner(subject: string = GITHUB_BUILDER, extensions: Extensions = {}): Signer {
  const identity = {
    subject,
    subjectType: 'uri' as const,
    issuer: 'https://token.actions.githubusercontent.com',
    extensions: { ...SOURCE_OF_APP, buildSignerURI: subject, ...extensions },
  }
  return { kind: 'keyless', trustRoot: 'public-good', identity, byRetiringRoot: false }
}

export const KEY_SIGNER: Signer = { kind: 'key', key: `sha256:${'1'.repeat(64)}` }

export function attestedBy(signer: Signer, predicateType: string, predicate: unknown): Verified {
  const digest = digestOf(Buffer.from('evidence'))
  return {
    source: { found: 'referrer', manifest: digest, blob: digest },
    signer,
    claim: { kind: 'attestation', statement: { predicateType, predicate } },
    logs: [],
    times: [],
  }
}

export function signedBy(signer: Signer): Verified {
  return { ...attestedBy(signer, '', undefined), claim: { kind: 'signature' } }
}

/** actions/attest-build-provenance. */
export const GITHUB_V1 = {
  buildDefinition: {
    buildType: 'https://actions.github.io/buildtypes/workflow/v1',
    externalParameters: {
      workflow: {
        ref: 'refs/tags/v1.0.0',
        repository: 'https://github.com/acme/app',
        path: '.github/workflows/release.yml',
      },
    },
    internalParameters: {
      github: {
        event_name: 'push',
        repository_id: '631710741',
        repository_owner_id: '60951090',
        runner_environment: 'github-hosted',
      },
    },
    resolvedDependencies: [
      { uri: 'git+https://github.com/acme/app@refs/tags/v1.0.0', digest: { gitCommit: COMMIT } },
    ],
  },
  runDetails: {
    builder: { id: GITHUB_BUILDER },
    metadata: { invocationId: 'https://github.com/acme/app/actions/runs/14095611671/attempts/1' },
  },
}

/** slsa-github-generator's container generator. */
export const GENERATOR_V0_2 = {
  builder: { id: GENERATOR },
  buildType: 'https://github.com/slsa-framework/slsa-github-generator/container@v1',
  invocation: {
    configSource: {
      uri: 'git+https://github.com/acme/app@refs/tags/v1.0.0',
      digest: { sha1: COMMIT },
      entryPoint: '.github/workflows/release.yml',
    },
    parameters: {},
    environment: { github_event_name: 'push', github_run_id: '8790' },
  },
  metadata: { buildInvocationID: '8790-1', completeness: { parameters: true }, reproducible: false },
  materials: [{ uri: 'git+https://github.com/acme/app@refs/tags/v1.0.0', digest: { sha1: COMMIT } }],
}

/** slsa-github-generator's delegator, which signs for a builder of somebody else. */
export const DELEGATED_V1 = {
  buildDefinition: {
    buildType: 'https://github.com/slsa-framework/slsa-github-generator/delegator-generic@v0',
    externalParameters: { inputs: { artifact: 'app' }, vars: {} },
    internalParameters: { GITHUB_EVENT_NAME: 'push', GITHUB_SHA: COMMIT },
    resolvedDependencies: [
      { uri: 'git+https://github.com/acme/app@refs/tags/v1.0.0', digest: { gitCommit: COMMIT } },
    ],
  },
  runDetails: {
    builder: {
      id: 'https://github.com/slsa-framework/example-trw/.github/workflows/builder_high-perms_slsa3.yml@refs/tags/v2.1.0',
    },
    metadata: { invocationId: 'https://github.com/acme/app/actions/runs/13530999948/attempts/1' },
  },
}

/** slsa-github-generator's container-based builder. */
export const CONTAINER_BASED_V1 = {
  buildDefinition: {
    buildType: 'https://slsa.dev/container-based-build/v0.1?draft',
    externalParameters: {
      source: { uri: 'git+https://github.com/acme/app@refs/tags/v1.0.0', digest: { sha1: COMMIT } },
      builderImage: { uri: 'bash@sha256:9e2b', digest: { sha256: '9e2b' } },
      configPath: '.github/build.toml',
    },
    resolvedDependencies: [
      { uri: 'git+https://github.com/acme/app@refs/tags/v1.0.0', digest: { sha1: COMMIT } },
    ],
  },
  runDetails: { builder: { id: GENERATOR }, metadata: { invocationId: 'https://github.com/acme/app/1' } },
}

/** Google Cloud Build, triggered. */
export const CLOUD_BUILD_V1 = {
  buildDefinition: {
    buildType: 'https://cloud.google.com/build/gcb-buildtypes/google-worker/v1',
    externalParameters: {
      buildConfigSource: {
        path: 'cloudbuild.yaml',
        ref: 'refs/heads/main',
        repository: 'git+https://github.com/acme/app',
      },
      substitutions: {},
    },
    internalParameters: { systemSubstitutions: { BRANCH_NAME: 'main', COMMIT_SHA: COMMIT } },
    resolvedDependencies: [
      { uri: 'git+https://github.com/acme/app@refs/heads/main', digest: { gitCommit: COMMIT } },
      {
        uri: 'gcr.io/cloud-builders/docker@sha256:d048af25a6f8945fa77e3aa679e49a8f8a8011f0050aab0364034e58f445a434',
        digest: { sha256: 'd048af25a6f8945fa77e3aa679e49a8f8a8011f0050aab0364034e58f445a434' },
      },
    ],
  },
  runDetails: {
    builder: { id: CLOUD_BUILDER },
    metadata: { invocationId: 'https://cloudbuild.googleapis.com/v1/projects/p/locations/l/builds/9c11d255' },
    byproducts: [{}],
  },
}

/** Google Cloud Build before that. */
export const CLOUD_BUILD_V0_1 = {
  builder: { id: `${CLOUD_BUILDER}@v0.3` },
  materials: [{ digest: { sha1: COMMIT }, uri: `https://github.com/acme/app/commit/${COMMIT}` }],
  metadata: { buildInvocationId: '11f6c682-3451-4f72-ac2a-8e386eab66af' },
  recipe: {
    arguments: { '@type': 'type.googleapis.com/google.devtools.cloudbuild.v1.Build' },
    entryPoint: 'cloudbuild.yaml',
    type: 'https://cloudbuild.googleapis.com/CloudBuildYaml@v0.1',
  },
}

export const SUMMARY_V1 = {
  verifier: { id: 'https://verifier.example/v1' },
  timeVerified: '2024-06-12T07:24:34Z',
  resourceUri: 'ghcr.io/acme/app',
  policy: { uri: 'https://policies.example/app', digest: { sha256: 'aa' } },
  verificationResult: 'PASSED',
  verifiedLevels: ['ACME_REVIEWED', 'SLSA_BUILD_LEVEL_2'],
}

export const SUMMARY_V0_2 = {
  verifier: { id: 'https://verifier.example/v1' },
  time_verified: '2022-06-12T07:24:34Z',
  resource_uri: 'ghcr.io/acme/app',
  policy: { uri: 'https://policies.example/app' },
  verification_result: 'PASSED',
  policy_level: 'SLSA_LEVEL_3',
}
