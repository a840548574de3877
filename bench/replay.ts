import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { encodeFindings, trustedText } from '../src/findings.ts'
import { digestOf } from '../src/oci/digest.ts'
import { openDatabase } from '../src/store/database.ts'
import { createStateStore } from '../src/store/state.ts'
import { loadPublicGoodRoot } from '../src/trust/public-good.ts'
import type { Verified } from '../src/verify/types.ts'

/**
 * How long `portcullis policy replay` takes over everything that a proxy remembers: `node bench/replay.ts [IMAGES]`. Each
 * image has a keyless signature and provenance of the size that GitHub makes; the new policies ask for another builder.
 */

const images = Number(process.argv[2] ?? '100000')
const BATCH = 1000
const ISSUER = 'https://token.actions.githubusercontent.com'
const NOW = new Date()

const workflow = (app: number): string =>
  `https://github.com/acme/app-${app}/.github/workflows/release.yml@refs/tags/v1.0.0`

function policies(builder: string): string {
  return JSON.stringify({
    apiVersion: 'portcullis.dev/v1alpha1',
    kind: 'ImagePolicy',
    metadata: { name: 'acme' },
    spec: {
      mode: 'enforce',
      images: [{ glob: 'ghcr.io/acme/**' }],
      authorities: [
        {
          name: 'release',
          keyless: {
            identities: [
              {
                issuer: ISSUER,
                subjectPattern: String.raw`https://github\.com/acme/app-[0-9]+/\.github/workflows/release\.yml@refs/tags/v.*`,
              },
            ],
          },
          attestations: [
            {
              name: 'provenance',
              predicateType: 'slsaprovenance1',
              slsa: { builders: [{ pattern: builder }] },
            },
          ],
        },
      ],
    },
  })
}

function provenanceOf(app: number): unknown {
  const source = `git+https://github.com/acme/app-${app}@refs/tags/v1.0.0`
  const dependencies = Array.from({ length: 8 }, (_, index) => ({
    uri: `${source}#${index}`,
    digest: { gitCommit: digestOf(Buffer.from(`${app}/${index}`)).slice('sha256:'.length, 47) },
  }))
  return {
    buildDefinition: {
      buildType: 'https://actions.github.io/buildtypes/workflow/v1',
      externalParameters: {
        workflow: {
          ref: 'refs/tags/v1.0.0',
          repository: `https://github.com/acme/app-${app}`,
          path: '.github/workflows/release.yml',
        },
      },
      internalParameters: {
        github: {
          event_name: 'push',
          repository_id: '1',
          repository_owner_id: '2',
          runner_environment: 'github-hosted',
        },
      },
      resolvedDependencies: dependencies,
    },
    runDetails: {
      builder: { id: workflow(app) },
      metadata: { invocationId: `https://github.com/acme/app-${app}/actions/runs/1` },
    },
  }
}

function verifiedOf(app: number): readonly Verified[] {
  const identity = {
    subject: workflow(app),
    subjectType: 'uri',
    issuer: ISSUER,
    extensions: {
      sourceRepositoryURI: `https://github.com/acme/app-${app}`,
      runnerEnvironment: 'github-hosted',
    },
  } as const
  const signer = { kind: 'keyless', trustRoot: 'public-good', identity, byRetiringRoot: false } as const
  const blob = digestOf(Buffer.from(`blob ${app}`))
  const times = [{ trustRoot: 'public-good', source: 'log', authority: 'c0d23d6a', time: NOW }] as const
  const common = { source: { found: 'referrer', manifest: blob, blob }, signer, logs: [], times } as const
  const statement = { predicateType: 'https://slsa.dev/provenance/v1', predicate: provenanceOf(app) }
  return [
    { ...common, claim: { kind: 'signature' } },
    { ...common, claim: { kind: 'attestation', statement } },
  ]
}

/** As verified with the built-in root, whose version this is. */
async function fill(dataDirectory: string, trusted: string): Promise<void> {
  const database = openDatabase(join(dataDirectory, 'portcullis.db'))
  const state = createStateStore(database, {
    now: () => NOW,
    onError: (error) => {
      throw error
    },
  })
  for (let from = 0; from < images; from += BATCH) {
    const batch = Array.from({ length: Math.min(BATCH, images - from) }, (_, index) => from + index)
    state.noteSightings(
      batch.map((app) => ({
        repository: { registry: 'ghcr.io', name: `acme/app-${app}` },
        digest: digestOf(Buffer.from(`image ${app}`)),
        ring: 'default',
        tags: ['v1.0.0'],
        pulls: 1,
        at: NOW,
        outcome: 'serve',
        isSigned: true,
        hasProvenance: true,
        results: [
          { policy: 'acme', version: 'sha256:1', mode: 'enforce', verdict: 'satisfied', because: '' },
        ],
      })),
    )
    for (const app of batch) {
      const findings = { verified: verifiedOf(app), failures: [], manifestReasons: [] }
      const repository = { registry: 'ghcr.io', name: `acme/app-${app}` }
      state.setFindings(repository, digestOf(Buffer.from(`image ${app}`)), encodeFindings(findings, trusted))
    }
  }
  state.close()
}

/** What it prints. It ends with 1 where something would be refused, as here. */
async function run(command: string, args: readonly string[]): Promise<string> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  const [said] = await Promise.all([text(child.stdout), once(child, 'close')])
  if (child.exitCode !== 1) throw new Error(`ended with ${child.exitCode}: ${said}`)
  return said
}

async function main(): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'portcullis-bench-replay-'))
  try {
    const [before, after, data] = ['before', 'after', 'data'].map((name) => join(directory, name))
    if (before === undefined || after === undefined || data === undefined) return
    await Promise.all([before, after, data].map((path) => mkdir(path)))
    await writeFile(join(before, 'acme.yaml'), policies(String.raw`https://github\.com/acme/.*`))
    await writeFile(join(after, 'acme.yaml'), policies(String.raw`https://github\.com/acme/app-.*[1-9]/.*`))
    const config = join(directory, 'portcullis.yaml')
    await writeFile(config, JSON.stringify({ dataDirectory: data, policies: { directory: before } }))
    await fill(data, trustedText({ roots: [loadPublicGoodRoot()], keys: [] }))
    const { size } = await stat(join(data, 'portcullis.db'))
    const main = fileURLToPath(new URL('../src/main.ts', import.meta.url))
    const started = performance.now()
    const said = await run(process.execPath, [main, 'policy', 'replay', after, '--config', config])
    const seconds = (performance.now() - started) / 1000
    console.log(said.split('\n').slice(0, 6).join('\n'))
    console.log(
      `\n${images} images: ${seconds.toFixed(1)} s in all, ${((seconds / images) * 1e6).toFixed(0)} us an image; database ${(size / 2 ** 20).toFixed(0)} MiB`,
    )
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

await main()
