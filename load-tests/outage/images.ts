import { generateKeyPairSync } from 'node:crypto'
import { digestOf, type Digest } from '../../src/oci/digest.ts'
import { cosignLayer } from '../../src/testing/cosign-layer.ts'
import { attachLayer, signImage, type Place } from '../../src/testing/evidence.ts'
import { buildImage, descriptorOf, publishImage } from '../../src/testing/images.ts'
import type { TestKmsKey } from '../../src/testing/kms-key.ts'
import type { TestRegistry } from '../../src/testing/registry.ts'
import { managedSigner, type Signer, type Sigstore } from '../../src/testing/sigstore.ts'
import { simpleSigningPayload } from '../../src/testing/statements.ts'
import { withoutEntry } from '../../src/testing/unlogged.ts'

export const STANCES = ['closed', 'last-verified', 'open'] as const
/**
 * What a policy asks for: an identity under a root that comes by TUF; a key that a KMS holds; a key whose signature is in
 * the log, which must be asked because the signature does not say so.
 */
export const POLICIES = ['keyless', 'kms', 'logged'] as const
const SIGNATURES = ['good', 'none', 'stranger'] as const
/**
 * When an image is pulled first: before the outage; in it; after a restart in it; after a first start in it; and once the
 * budget of stance open is spent.
 */
const SLOTS = ['known', 'during', 'restart', 'first', 'extra'] as const

type Stance = (typeof STANCES)[number]
export type PolicyKind = (typeof POLICIES)[number]
export type Slot = (typeof SLOTS)[number]

export type Image = {
  readonly stance: Stance
  readonly policy: PolicyKind
  readonly signature: (typeof SIGNATURES)[number]
  readonly slot: Slot
  readonly repository: string
  readonly digest: Digest
  readonly config: Digest
}

export const TAG = 'v1'
export const IDENTITY = {
  issuer: 'https://issuer.example.test',
  subject: 'https://ci.example.test/acme/app/release.yml@refs/tags/v1',
}
const STRANGER = { ...IDENTITY, subject: 'https://ci.example.test/mallory/app/release.yml@refs/heads/main' }

export type Signers = {
  readonly sigstore: Sigstore
  readonly kmsKey: TestKmsKey
  /** Whom policy `logged` accepts. */
  readonly logged: Signer
}

type What = Pick<Image, 'stance' | 'policy' | 'signature' | 'slot'>

const COMBINATIONS: readonly What[] = STANCES.flatMap((stance) =>
  POLICIES.flatMap((policy) =>
    SIGNATURES.flatMap((signature) => SLOTS.map((slot) => ({ stance, policy, signature, slot }))),
  ),
)

/** Every combination once, each an image of its own. Of `extra` only what stance open would let pass. */
export async function publishImages(registry: TestRegistry, signers: Signers): Promise<readonly Image[]> {
  const wanted = COMBINATIONS.filter(
    ({ stance, signature, slot }) => slot !== 'extra' || (stance === 'open' && signature === 'good'),
  )
  return await Promise.all(wanted.map(async (what) => await publishOne(registry, signers, what)))
}

async function publishOne(registry: TestRegistry, signers: Signers, what: What): Promise<Image> {
  const { stance, policy, signature, slot } = what
  const repository = `${stance}/${policy}/${signature}-${slot}`
  const image = buildImage({ files: { 'etc/name': `${repository}\n` } })
  publishImage(registry, repository, TAG, image)
  if (signature !== 'none') {
    const place = { registry, repository, subject: descriptorOf(image) }
    await SIGN[policy](place, signers, signature === 'good')
  }
  return { ...what, repository, digest: image.digest, config: digestOf(image.config) }
}

type Sign = (place: Place, signers: Signers, isGood: boolean) => Promise<unknown>

const SIGN: Readonly<Record<PolicyKind, Sign>> = {
  keyless: (place, { sigstore }, isGood) =>
    signImage(place, sigstore, sigstore.keyless(isGood ? IDENTITY : STRANGER)),
  kms: (place, { sigstore, kmsKey }, isGood) =>
    signImage(place, sigstore, isGood ? kmsSigner(kmsKey) : anyKey(), { log: 0 }),
  async logged(place, { sigstore, logged }, isGood) {
    const payload = simpleSigningPayload(`registry.test/${place.repository}`, place.subject.digest)
    const bundle = await sigstore.message(payload, isGood ? logged : anyKey())
    return attachLayer(place, 'sig', withoutEntry(cosignLayer(bundle, payload)))
  },
}

function anyKey(): Signer {
  return managedSigner(generateKeyPairSync('ec', { namedCurve: 'prime256v1' }))
}

function kmsSigner(key: TestKmsKey): Signer {
  const { publicKeyPem: publicKey } = key
  return {
    sign: async (data) => ({ signature: key.sign(data), key: { $case: 'publicKey', publicKey, hint: '' } }),
  }
}
