import { generateKeyPairSync } from 'node:crypto'
import { attestImage, signImage, type EvidenceForm, type Place } from '../testing/evidence.ts'
import {
  buildImage,
  buildIndex,
  descriptorOf,
  publishImage,
  type BuiltImage,
  type BuiltIndex,
} from '../testing/images.ts'
import type { TestRegistry } from '../testing/registry.ts'
import { managedSigner, type Signer, type Sigstore } from '../testing/sigstore.ts'
import { slsaStatement } from '../testing/statements.ts'

/** One image of the demo, and what must come of pulling it. */
export type Scene = {
  readonly repository: string
  readonly tag: string
  readonly about: string
  /** HTTP status, and a part of the sentence where it is refused. */
  readonly expected: { readonly status: number; readonly says?: string }
}

export type Stage = {
  readonly scenes: readonly Scene[]
  readonly policies: string
  readonly trustedRoot: string
}

const ISSUER = 'https://token.actions.githubusercontent.com'
const RELEASE = 'https://github.com/acme/shop/.github/workflows/release.yml@refs/tags/v1.4.2'
const SCRATCH = 'https://github.com/acme/shop/.github/workflows/experiment.yml@refs/heads/anything-goes'
const PROVENANCE = 'https://slsa.dev/provenance/v1'

/** Fills the registry with images as they are found in the wild, and says what the gate must make of each. */
export async function setStage(registry: TestRegistry, sigstore: Sigstore): Promise<Stage> {
  const keyPair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const release = sigstore.keyless({ subject: RELEASE, issuer: ISSUER })
  const scratch = sigstore.keyless({ subject: SCRATCH, issuer: ISSUER })
  const key = managedSigner(keyPair)
  const publisher = createPublisher(registry, sigstore)
  const scenes = [
    await publisher.signed('shop', 'v1.4.2', release, {
      about: 'keyless, bundle (cosign 3)',
      form: 'referrer',
    }),
    await publisher.signed('shop', 'v1.4.1', release, { about: 'keyless, .sig tag (cosign 2)', form: 'tag' }),
    await publisher.multiArch('shop', 'v1.4.0', release),
    await publisher.signed('base', '12.7', key, { about: 'signed with a key', form: 'tag' }),
    await publisher.attested('payments', 'v3.0.0', release),
    publisher.unsigned('shop', 'nightly'),
    await publisher.signed('shop', 'v1.5.0-rc1', scratch, {
      about: 'signed by another workflow',
      form: 'referrer',
      expected: { status: 403, says: 'experiment.yml' },
    }),
    await publisher.borrowed('shop', 'v9.9.9', release),
    await publisher.signed('payments', 'v3.0.1', release, {
      about: 'signed, but no provenance',
      form: 'referrer',
      expected: { status: 403, says: 'provenance' },
    }),
    publisher.tampered('shop', 'v1.3.0'),
  ]
  const publicKey = keyPair.publicKey.export({ type: 'spki', format: 'pem' }).toString()
  return { scenes, policies: policiesYaml(registry.host, publicKey), trustedRoot: sigstore.trustedRootJson() }
}

type SignedOptions = { about: string; form: EvidenceForm; expected?: Scene['expected'] }

function createPublisher(registry: TestRegistry, sigstore: Sigstore) {
  function publish(repository: string, tag: string, image: BuiltImage | BuiltIndex): Place {
    publishImage(registry, repository, tag, image)
    return { registry, repository, subject: descriptorOf(image) }
  }

  function build(repository: string, tag: string, architecture = 'amd64'): BuiltImage {
    return buildImage({ files: { 'etc/motd': `${repository} ${tag} for ${architecture}\n` }, architecture })
  }

  const served = { status: 200 }
  return {
    async signed(repository: string, tag: string, signer: Signer, options: SignedOptions): Promise<Scene> {
      const place = publish(repository, tag, build(repository, tag))
      await signImage(place, sigstore, signer, { form: options.form })
      return { repository, tag, about: options.about, expected: options.expected ?? served }
    },
    async multiArch(repository: string, tag: string, signer: Signer): Promise<Scene> {
      const images = ['amd64', 'arm64'].map((architecture) => build(repository, tag, architecture))
      await signImage(publish(repository, tag, buildIndex(images)), sigstore, signer)
      return { repository, tag, about: 'multi-arch, the index is signed', expected: served }
    },
    async attested(repository: string, tag: string, signer: Signer): Promise<Scene> {
      const place = publish(repository, tag, build(repository, tag))
      const sha256 = place.subject.digest.slice('sha256:'.length)
      await attestImage(place, sigstore, { statement: slsaStatement({ name: repository, sha256 }), signer })
      return { repository, tag, about: 'with SLSA provenance', expected: served }
    },
    unsigned(repository: string, tag: string): Scene {
      publish(repository, tag, build(repository, tag))
      return { repository, tag, about: 'not signed', expected: { status: 403, says: 'no signature' } }
    },
    /** A real signature by the right identity, attached to an image that it is not about. */
    async borrowed(repository: string, tag: string, signer: Signer): Promise<Scene> {
      const place = publish(repository, tag, build(repository, tag))
      const other = { ...place, subject: descriptorOf(build(repository, 'v1.4.2')) }
      const { manifest } = await signImage(other, sigstore, signer, { form: 'tag' })
      const bytes = registry.manifest(repository, manifest)
      if (bytes === undefined) throw new TypeError('the borrowed signature was not published')
      registry.putManifest(
        repository,
        `sha256-${place.subject.digest.slice(7)}.sig`,
        bytes.bytes,
        bytes.mediaType,
      )
      return { repository, tag, about: "another image's signature", expected: { status: 403 } }
    },
    /** The registry answers with other bytes than the digest says. */
    tampered(repository: string, tag: string): Scene {
      const { subject } = publish(repository, tag, build(repository, tag))
      registry.behave(({ url }) =>
        url.includes(`/manifests/${tag}`) || url.includes(`/manifests/${subject.digest}`)
          ? 'corrupt'
          : undefined,
      )
      return { repository, tag, about: 'bytes changed by the registry', expected: { status: 502 } }
    },
  }
}

function policiesYaml(host: string, publicKey: string): string {
  const keyless = `
      keyless:
        trustRoot: demo
        identities:
          - issuer: ${ISSUER}
            subjectPattern: https://github\\.com/acme/shop/\\.github/workflows/release\\.yml@refs/tags/v.+`
  return `apiVersion: portcullis.dev/v1alpha1
kind: ImagePolicy
metadata: { name: shop-releases }
spec:
  mode: enforce
  runbook: https://runbooks.acme.example/unsigned-image
  images: [{ glob: "${host}/shop" }]
  authorities:
    - name: release-workflow${keyless}
---
apiVersion: portcullis.dev/v1alpha1
kind: ImagePolicy
metadata: { name: payments-provenance }
spec:
  mode: enforce
  images: [{ glob: "${host}/payments" }]
  authorities:
    - name: release-workflow${keyless}
      attestations: [{ name: provenance, predicateType: ${PROVENANCE} }]
---
apiVersion: portcullis.dev/v1alpha1
kind: ImagePolicy
metadata: { name: base-images }
spec:
  mode: enforce
  images: [{ glob: "${host}/base" }]
  authorities:
    - name: platform-key
      key:
        data: |
${publicKey.trim().replace(/^/gm, '          ')}
`
}
