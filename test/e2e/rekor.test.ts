import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { after, before, describe, test } from 'node:test'
import { Agent } from 'undici'
import { decide } from '../../src/policy/decide.ts'
import type { Authority } from '../../src/policy/types.ts'
import { digestOf, digestParts, type Digest } from '../../src/oci/digest.ts'
import { answerRekor } from '../../src/routes/rekor.ts'
import { openDatabase } from '../../src/store/database.ts'
import { createStateStore } from '../../src/store/state.ts'
import type { StateStore } from '../../src/store/types.ts'
import { buildImage } from '../../src/testing/images.ts'
import {
  attestationOf,
  held,
  identityOf,
  keyAuthority,
  keylessAuthority,
  NOTHING,
  OCCASION,
  policyOf,
} from '../../src/testing/policies.ts'
import { startRegistry, type TestRegistry } from '../../src/testing/registry.ts'
import { withoutEntry } from '../../src/testing/unlogged.ts'
import { layerCandidate } from '../../src/testing/verification.ts'
import { identityToken } from '../../src/testing/sigstore-server.ts'
import { createRekorClient } from '../../src/trust/rekor/client.ts'
import { completeWithEntries } from '../../src/trust/rekor/complete.ts'
import { LogLookUp } from '../../src/trust/rekor/look-up.ts'
import { createLogSend } from '../../src/trust/rekor/send.ts'
import { parseTrustRoot } from '../../src/trust/trust-root.ts'
import { readPublicKey } from '../../src/verify/public-key.ts'
import type { Candidate, TrustRoot } from '../../src/verify/types.ts'
import { verifyCandidate } from '../../src/verify/verify.ts'
import {
  cosignPath,
  generateKeys,
  startPrivateSigstore,
  type KeyFiles,
  type PrivateSigstore,
} from './harness/cosign.ts'
import { temporaryDirectory } from './harness/house.ts'
import { must, run } from './harness/process.ts'
import { pushImage, pushManifest } from './harness/push.ts'
import { missing } from './harness/tools.ts'

const IDENTITY = {
  issuer: 'https://issuer.example.test',
  subject: 'https://ci.example.test/acme/app/release.yml@refs/tags/v1',
}
const PREDICATE_TYPE = 'https://example.test/reviewed/v1'
const INSECURE = ['--allow-insecure-registry', '--allow-http-registry']
const KINDS = [
  { by: 'key', what: 'sign' },
  { by: 'key', what: 'attest' },
  { by: 'identity', what: 'sign' },
  { by: 'identity', what: 'attest' },
] as const
type Kind = (typeof KINDS)[number]

type Layer = {
  readonly mediaType: string
  readonly digest: string
  readonly annotations: Record<string, string>
}

/** What cosign 2 signs and logs, its log entries taken away: looked up by us, and then asked of us by cosign. */
describe(
  'log entries for cosign 2',
  { skip: missing({ tools: [cosignPath(2) ?? 'cosign2'], root: false }) },
  () => {
    const program = cosignPath(2) ?? ''
    const stack = new AsyncDisposableStack()
    const agent = new Agent()
    let sigstore: PrivateSigstore
    let root: TrustRoot
    let keys: KeyFiles
    let registry: TestRegistry
    let state: StateStore
    let copy: string
    let predicateFile: string

    before(async () => {
      const work = await temporaryDirectory(stack)
      sigstore = await startPrivateSigstore(stack, work)
      root = parseTrustRoot('private', await readFile(sigstore.trustedRoot, 'utf8'))
      keys = await generateKeys(program, work, 'release')
      registry = stack.use(await startRegistry())
      state = createStateStore(openDatabase(join(work, 'state.db')), {
        now: () => new Date(),
        onError: assert.fail,
      })
      stack.defer(() => state.close())
      stack.defer(() => agent.close())
      predicateFile = join(work, 'predicate.json')
      await writeFile(predicateFile, JSON.stringify({ reviewer: 'somebody' }))
      copy = await serveCopy()
    })
    after(() => stack.disposeAsync())

    /** `/rekor/…` of the proxy, by itself. */
    async function serveCopy(): Promise<string> {
      const server = createServer((incoming, outgoing) => {
        const { method = '', url: target = '' } = incoming
        assert.ok(target.startsWith('/rekor/') && (method === 'GET' || method === 'POST'))
        buffer(incoming).then(
          (body) => {
            const answer = answerRekor({ method, target, body }, state)
            outgoing.writeHead(answer.status, answer.headers).end(answer.body)
          },
          () => outgoing.destroy(),
        )
      })
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
      stack.defer(() => void server.close())
      const address = server.address()
      return `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}/rekor/private`
    }

    async function publish(kind: Kind): Promise<{ image: string; subject: Digest; candidate: Candidate }> {
      const repository = `${kind.by}/${kind.what}`
      const target = { host: registry.host, repository }
      const subject = await pushImage(target, 'v1', buildImage({ files: { 'name.txt': repository } }))
      const image = `${registry.host}/${repository}@${subject}`
      const signer =
        kind.by === 'key'
          ? [`--key=${keys.privateKey}`]
          : [`--identity-token=${identityToken(IDENTITY)}`, `--fulcio-url=${sigstore.url}`]
      const predicate =
        kind.what === 'attest' ? [`--predicate=${predicateFile}`, `--type=${PREDICATE_TYPE}`] : []
      const args = [
        kind.what,
        ...signer,
        ...predicate,
        `--rekor-url=${sigstore.url}`,
        '--yes',
        ...INSECURE,
        image,
      ]
      await must({ command: program, args, env: { COSIGN_PASSWORD: '', ...sigstore.env } }, 60_000)
      return { image, subject, candidate: await withdrawEntry(target, subject, kind) }
    }

    /** Takes the log entry out of what cosign attached. */
    async function withdrawEntry(
      target: { host: string; repository: string },
      subject: Digest,
      { what }: Kind,
    ): Promise<Candidate> {
      const tag = `sha256-${digestParts(subject).hex}.${what === 'sign' ? 'sig' : 'att'}`
      const base = `http://${target.host}/v2/${target.repository}`
      const response = await fetch(`${base}/manifests/${tag}`)
      const manifest = (await response.json()) as { mediaType: string; layers: Layer[] }
      const [layer] = manifest.layers
      if (layer === undefined) assert.fail('cosign attached nothing')
      const bytes = Buffer.from(await (await fetch(`${base}/blobs/${layer.digest}`)).arrayBuffer())
      assert.equal(digestOf(bytes), layer.digest)
      const stripped = withoutEntry({ mediaType: layer.mediaType, bytes, annotations: layer.annotations })
      assert.notDeepEqual(stripped.annotations, layer.annotations, 'there was an entry')
      const { annotations } = stripped
      const text = JSON.stringify({ ...manifest, layers: [{ ...layer, annotations }] })
      await pushManifest(target, tag, { bytes: Buffer.from(text), mediaType: manifest.mediaType })
      return layerCandidate(stripped)
    }

    function authorityFor(kind: Kind, keyPem: string): Authority {
      const attestations = kind.what === 'attest' ? [attestationOf('reviewed', PREDICATE_TYPE)] : []
      const trustRoot = root.name
      if (kind.by === 'identity') {
        const identities = [identityOf(IDENTITY.issuer, IDENTITY.subject)]
        return keylessAuthority('release', identities, { trustRoot, attestations })
      }
      const key = readPublicKey(keyPem)
      if ('problem' in key) assert.fail(key.problem)
      return keyAuthority('release', [held(key)], {
        signer: { transparencyLog: 'required', trustRoot },
        attestations,
      })
    }

    /** What the proxy does between finding evidence and judging by it. */
    async function lookUp(kind: Kind, subject: Digest, candidate: Candidate): Promise<string | undefined> {
      const authority = authorityFor(kind, await readFile(keys.publicKey, 'utf8'))
      const policy = policyOf([authority])
      const trusted = authority.signer.kind === 'key' ? authority.signer.keys.map(({ key }) => key) : []
      const input = { subject, roots: [root], keys: trusted }
      const logs = new Map([
        [root.name, createRekorClient({ url: sigstore.url, send: createLogSend(agent, 'test') })],
      ])
      const first = verifyCandidate(candidate, { ...input, logsToAsk: [root.name] })
      const { findings } = await completeWithEntries([candidate], { ...first, missing: [] }, [policy], {
        lookUp: new LogLookUp({ logs, elapsed: () => 0, limit: () => AbortSignal.timeout(10_000) }),
        occasion: OCCASION,
        verify: (one) => Promise.resolve({ ...verifyCandidate(one, input), missing: [] }),
        keep: (log, { leafHash, logIndex, json }) => state.setLogEntry(log, leafHash, { logIndex, json }),
      })
      return decide({ ...NOTHING, policies: [policy], ...findings }).results[0]?.verdict.kind
    }

    const verify = (kind: Kind, image: string, rekorUrl: string) => {
      const who =
        kind.by === 'key'
          ? [`--key=${keys.publicKey}`]
          : [`--certificate-identity=${IDENTITY.subject}`, `--certificate-oidc-issuer=${IDENTITY.issuer}`]
      const what = kind.what === 'sign' ? ['verify'] : ['verify-attestation', `--type=${PREDICATE_TYPE}`]
      const args = [...what, ...who, `--rekor-url=${rekorUrl}`, ...INSECURE, image]
      return run({ command: program, args, env: sigstore.env }, 60_000)
    }

    for (const kind of KINDS) {
      test(`${kind.what} by ${kind.by}: found where cosign logged it, and cosign finds it here`, async () => {
        const { image, subject, candidate } = await publish(kind)
        const before = await verify(kind, image, copy)
        assert.equal(before.ok, false, 'nothing is here before it was looked up')
        assert.equal(await lookUp(kind, subject, candidate), 'satisfied')
        const checked = await verify(kind, image, copy)
        assert.ok(checked.ok, checked.output)
      })
    }
  },
)
