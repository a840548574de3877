import assert from 'node:assert/strict'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command } from 'commander'
import { refusePages } from '../../src/admin/cross-site.ts'
import { createRolloutRoutes } from '../../src/admin/rollout.ts'
import { serveRoutes } from '../../src/admin/testing/serve-routes.ts'
import { configure } from '../../src/cli/configure.ts'
import { registerRollout } from '../../src/cli/rollout.ts'
import { loadPolicyDirectory } from '../../src/config/policy-files.ts'
import { createEpoch, type Epoch } from '../../src/epoch.ts'
import { digestOf, type Digest } from '../../src/oci/digest.ts'
import { parseRepository, parseTag, repositoryName } from '../../src/oci/reference.ts'
import { decide, enforce } from '../../src/policy/decide.ts'
import { inRing, type Ring } from '../../src/policy/ring.ts'
import { DAY_MS } from '../../src/rollout/criteria.ts'
import { noteStages, ringOrder } from '../../src/rollout/stages.ts'
import { Sightings } from '../../src/sightings.ts'
import { signingFacts } from '../../src/signing.ts'
import { openState } from '../../src/store/testing/state.ts'
import { createSigstore } from '../../src/testing/sigstore.ts'
import { cosignSignStatement, slsaStatement } from '../../src/testing/statements.ts'
import { bundleCandidate, trustRootOf } from '../../src/testing/verification.ts'
import { createTrustSnapshot } from '../../src/trust/snapshot.ts'
import type { Candidate } from '../../src/verify/types.ts'
import { verifyCandidate } from '../../src/verify/verify.ts'

const ISSUER = 'https://token.actions.githubusercontent.com'
const SUBJECT = 'https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1.0.0'
const START_MS = Date.UTC(2026, 0, 5)

const policy = (name: string, demand: string) => `# Reviewed by the platform team.
apiVersion: portcullis.dev/v1alpha1
kind: ImagePolicy
metadata:
  name: ${name}
spec:
  mode: observe # everywhere else
  rollout: { minDays: 7, minPulls: 4, minImages: 2, maxWouldBlocks: 0 }
  images:
    - glob: ghcr.io/acme/**
  authorities:
    - name: release
      keyless:
        trustRoot: test
        identities: [{ issuer: "${ISSUER}", subject: "${SUBJECT}" }]
${demand}`

export const PROVENANCE = `      attestations:
        - { name: provenance, predicateType: slsaprovenance1 }
`

/** An edge with two rings and one policy that observes, before its first pull. */
export async function startRollout() {
  const directory = await mkdtemp(join(tmpdir(), 'rollout-'))
  const clock = { ms: START_MS }
  const now = () => new Date(clock.ms)
  const sigstore = await createSigstore({ now })
  const writePolicy = (name: string, demand: string) =>
    writeFile(join(directory, 'policies', `${name}.yaml`), policy(name, demand))
  await mkdir(join(directory, 'policies'))
  await writePolicy('signed', '')
  await writeFile(join(directory, 'trusted_root.json'), sigstore.trustedRootJson())
  const configuration = {
    policies: { directory: 'policies', unmatched: 'off' },
    trust: { roots: { test: { kind: 'pinned', path: 'trusted_root.json' } } },
    rings: ['beachhead', 'fleet'].map((name, index) => ({ name, when: [{ cidrs: [`10.${index}.0.0/16`] }] })),
  }
  await writeFile(join(directory, 'portcullis.yaml'), JSON.stringify(configuration))
  const said = { stdout: '', stderr: '', code: -1 }
  const io = {
    stdout: (text: string) => void (said.stdout += text),
    stderr: (text: string) => void (said.stderr += text),
    env: { USER: 'ada' },
    exit: (code: number) => void (said.code = code),
  }
  const config = (await configure(join(directory, 'portcullis.yaml'), io)) ?? assert.fail(said.stderr)

  const { state } = openState({ now })
  const rings = ringOrder(config.rings.map(({ name }) => name))
  const root = trustRootOf(sigstore.trustedRoot())
  const trust = createTrustSnapshot({ roots: [root], keys: new Map() })
  let epoch: Epoch | undefined
  /** What a reload does. */
  const load = async (): Promise<Epoch> => {
    const loaded = await loadPolicyDirectory(config)
    assert.ok(loaded.ok, JSON.stringify(loaded))
    noteStages(loaded.set, now(), { rings, state })
    return (epoch = createEpoch(loaded.set, trust))
  }
  const { policies } = await load()
  assert.equal(policies.policies.length, 1)

  const pause = () => Promise.resolve()
  const failOn = (error: unknown) => assert.fail(String(error))
  const sightings = new Sightings({ state, nowMs: () => clock.ms, pause, onError: failOn, onLost: failOn })
  const routes = createRolloutRoutes(
    {
      policies: () => epoch?.policies ?? assert.fail(),
      rings,
      state,
      settle: () => sightings.write(),
      now,
      pause,
    },
    refusePages(new Set()),
  )
  const server = await serveRoutes(routes)

  const evidence = new Map<string, Candidate[]>()
  const statements = {
    sign: (digest: Digest) => cosignSignStatement(digest),
    attest: (digest: Digest) =>
      slsaStatement({ name: 'ghcr.io/acme', sha256: digest.slice('sha256:'.length) }),
  }
  const mint = async (what: keyof typeof statements, name: string) => {
    const signer = sigstore.keyless({ subject: SUBJECT, issuer: ISSUER })
    const bundle = await sigstore.dsse(statements[what](digestOf(Buffer.from(name))), signer)
    evidence.set(name, [...(evidence.get(name) ?? []), bundleCandidate(bundle)])
  }
  const byName = new Map(rings.map((name): [string, Ring] => [name, { name, stanceLimit: undefined }]))

  /** What a client of the ring gets. */
  const pull = (ringName: string, name: string): string => {
    const current = epoch ?? assert.fail()
    const ring = byName.get(ringName) ?? assert.fail(ringName)
    const repository = parseRepository('ghcr.io', `acme/${name}`) ?? assert.fail()
    const tag = parseTag('v1') ?? assert.fail()
    const digest = digestOf(Buffer.from(name))
    const found = (evidence.get(name) ?? []).map((candidate) =>
      verifyCandidate(candidate, { subject: digest, roots: [root], keys: [] }),
    )
    const verified = found.flatMap((one) => one.verified)
    const failures = found.flatMap((one) => one.failures)
    const [of, image] = [repositoryName(repository), { ...repository, digest }]
    const judgement = decide({
      policies: current.matching(of),
      revocations: current.revoking(of),
      unmatched: current.policies.unmatched,
      image,
      verified,
      failures,
      missing: [],
      manifestReasons: [],
      now: now(),
    })
    const outcome = enforce(inRing(judgement, ring)).kind
    const judged = {
      digest,
      judgement,
      coveredBy: undefined,
      isEvidence: false,
      signing: signingFacts(verified),
    }
    sightings.note({ repository, reference: { kind: 'tag', tag }, ring, isRead: true, outcome, judged })
    return outcome
  }

  /** The command line, as an operator has it. */
  const rollout = async (...argv: string[]) => {
    Object.assign(said, { stdout: '', stderr: '', code: -1 })
    const program = new Command('portcullis').exitOverride().configureOutput({ writeErr: io.stderr })
    registerRollout(program, io, async (url, init) => {
      assert.ok(url instanceof URL)
      return await fetch(new URL(`${url.pathname}${url.search}`, server.url), init)
    })
    const file = ['--config', join(directory, 'portcullis.yaml')]
    await program.parseAsync(['rollout', ...argv, ...file], { from: 'user' })
    return { ...said }
  }
  /** Of a promotion that must be refused: what is not met. */
  const refusal = async (...argv: string[]): Promise<readonly string[]> => {
    const { code, stderr } = await rollout('promote', ...argv)
    assert.equal(code, 1, stderr)
    return stderr
      .split('\n')
      .slice(1, -2)
      .map((line) => line.trim())
  }
  const promoted = async (...argv: string[]): Promise<string> => {
    const { code, stdout, stderr } = await rollout('promote', ...argv)
    assert.equal(code, 0, stderr)
    await load()
    return stdout
  }
  const status = async (name: string, ring: string) => {
    const { stdout } = await rollout('status', '--policy', name, '--ring', ring, '--json')
    const [row] = JSON.parse(stdout).rows
    return row
  }

  return {
    state,
    load,
    mint,
    pull,
    rollout,
    refusal,
    promoted,
    status,
    writePolicy,
    /** Every ring pulls all of the images, day by day. */
    pass: (days: number, ...names: readonly string[]) => {
      for (let day = 0; day < days; day += 1) {
        clock.ms += DAY_MS
        for (const ring of rings) for (const name of names) pull(ring, name)
      }
    },
    policyText: (name: string) => readFile(join(directory, 'policies', `${name}.yaml`), 'utf8'),
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]()
      await rm(directory, { recursive: true, force: true })
    },
  }
}
