/** What gets signed: payloads and statements as cosign and GitHub Actions write them. */

/** `critical` of a simple signing payload names the image; containers/image docs, "atomic signature" format. */
export function simpleSigningPayload(
  repository: string,
  digest: string,
  optional: Record<string, unknown> | null = null,
): Buffer {
  return Buffer.from(
    JSON.stringify({
      critical: {
        identity: { 'docker-reference': repository },
        image: { 'docker-manifest-digest': digest },
        type: 'cosign container image signature',
      },
      optional,
    }),
  )
}

/** in-toto Statement v1. */
export type StatementJson = {
  readonly _type: string
  readonly subject: readonly { readonly name?: string; readonly digest: Readonly<Record<string, string>> }[]
  readonly predicateType: string
  readonly predicate: unknown
}

export type SlsaOptions = {
  /** Subject name; by convention the repository without tag. */
  readonly name: string
  /** Hex, without the algorithm. */
  readonly sha256: string
  readonly builder?: string
  /** Source repository URL. */
  readonly repository?: string
  readonly ref?: string
  /** Git commit, hex. */
  readonly commit?: string
  /** Path of the workflow in the repository. */
  readonly workflow?: string
  readonly buildType?: string
}

/** SLSA provenance v1 in the shape that GitHub Actions writes. */
export function slsaStatement(options: SlsaOptions): StatementJson {
  const repository = options.repository ?? 'https://github.com/o/r'
  const ref = options.ref ?? 'refs/heads/main'
  const commit = options.commit ?? 'a'.repeat(40)
  return statement(options.name, options.sha256, 'https://slsa.dev/provenance/v1', {
    buildDefinition: {
      buildType: options.buildType ?? 'https://actions.github.io/buildtypes/workflow/v1',
      externalParameters: {
        workflow: { ref, repository, path: options.workflow ?? '.github/workflows/release.yml' },
      },
      internalParameters: { github: { event_name: 'push', runner_environment: 'github-hosted' } },
      resolvedDependencies: [{ uri: `git+${repository}@${ref}`, digest: { gitCommit: commit } }],
    },
    runDetails: {
      builder: { id: options.builder ?? 'https://github.com/actions/runner/github-hosted' },
      metadata: { invocationId: `${repository}/actions/runs/1/attempts/1` },
    },
  })
}

/** What cosign 3 signs for an image in place of a simple signing payload; the subject has no name. */
export function cosignSignStatement(digest: string): StatementJson {
  return {
    _type: 'https://in-toto.io/Statement/v1',
    subject: [{ digest: { sha256: digest.replace(/^sha256:/, '') } }],
    predicateType: 'https://sigstore.dev/cosign/sign/v1',
    predicate: {},
  }
}

export function statement(
  name: string,
  sha256: string,
  predicateType: string,
  predicate: unknown,
): StatementJson {
  return {
    _type: 'https://in-toto.io/Statement/v1',
    subject: [{ name, digest: { sha256 } }],
    predicateType,
    predicate,
  }
}
