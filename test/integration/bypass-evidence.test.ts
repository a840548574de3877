import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import { MEDIA_TYPE } from '../../src/oci/manifest-types.ts'
import {
  attachBundle,
  attachLayer,
  attestImage,
  fallbackTag,
  signImage,
  type EvidenceForm,
  type Place,
} from '../../src/testing/evidence.ts'
import { referrerDescriptor } from '../../src/testing/registry-content.ts'
import type { Fault } from '../../src/testing/registry.ts'
import { cosignSignStatement, slsaStatement, statement } from '../../src/testing/statements.ts'
import {
  PROVENANCE,
  publish,
  publishSigned,
  startHarness,
  STRANGER,
  uniqueImage,
  type Harness,
} from './harness.ts'
import { errorOf } from './http.ts'

/** Evidence that is borrowed, forged, foreign, hidden or missing. */

let harness: Harness

before(async () => {
  const timeouts = { connect: '1s', headers: '200ms', body: '1s' }
  harness = await startHarness({ config: { cache: { violatedTtl: '0s' } }, upstream: { timeouts } })
})
beforeEach(() => harness.registry.behave(undefined))
after(async () => await harness[Symbol.asyncDispose]())

function place(repository: string): Place {
  return publish(harness, { repository, image: uniqueImage(repository) })
}

async function refusal({ repository }: Place): Promise<string> {
  const reply = await harness.get(`/v2/${repository}/manifests/v1`)
  assert.equal(reply.status, 403)
  return errorOf(reply).message
}

async function statusOf({ repository }: Place): Promise<number> {
  return (await harness.get(`/v2/${repository}/manifests/v1`)).status
}

const FORMS: readonly EvidenceForm[] = ['referrer', 'fallback-tag', 'tag']

for (const form of FORMS) {
  test(`signature of another image (${form}): counts for nothing`, async () => {
    const victim = place(`enforced/borrowed-${form}`)
    const other = publish(harness, {
      repository: victim.repository,
      tag: 'other',
      image: uniqueImage(`other ${form}`),
    })
    const bundle = await harness.sigstore.dsse(cosignSignStatement(other.digest), harness.release)
    if (form === 'tag') {
      const { manifest } = await signImage(
        { ...other, repository: victim.repository },
        harness.sigstore,
        harness.release,
        { form },
      )
      harness.registry.tag(victim.repository, `${fallbackTag(victim.subject.digest)}.sig`, manifest)
    } else attachBundle(victim, bundle, form)
    assert.match(
      await refusal(victim),
      /evidence that does not verify: .* not of sha256:|evidence that does not verify/,
    )
  })

  test(`valid signature by somebody else (${form}): refused, and says by whom`, async () => {
    const signed = await publishSigned(
      harness,
      { repository: `enforced/stranger-${form}`, image: uniqueImage(`stranger ${form}`) },
      { form, signer: harness.stranger },
    )
    assert.ok((await refusal(signed)).includes(STRANGER))
  })

  test(`rubbish beside a good signature (${form}): hides nothing, whichever came first`, async () => {
    const before = place(`enforced/rubbish-first-${form}`)
    await addRubbish(before, 3)
    await signImage(before, harness.sigstore, harness.release, { form })
    assert.equal(await statusOf(before), 200)
    const behind = place(`enforced/rubbish-last-${form}`)
    await signImage(behind, harness.sigstore, harness.release, { form })
    await addRubbish(behind, 3)
    assert.equal(await statusOf(behind), 200)
  })
}

/** Broken bundles, broken layers, broken list entries, a valid signature by a stranger: all that a pusher can add. */
async function addRubbish(at: Place, count: number): Promise<void> {
  for (let each = 0; each < count; each++) {
    attachBundle(at, Buffer.from(`{"rubbish":${each}}`))
    attachBundle(at, Buffer.from(`not even JSON ${each}`), 'fallback-tag')
    attachLayer(at, 'sig', {
      mediaType: 'application/vnd.dev.cosign.simplesigning.v1+json',
      bytes: Buffer.from(`{"critical":${each}}`),
      annotations: { 'dev.cosignproject.cosign/signature': 'AAAA' },
    })
  }
  await signImage(at, harness.sigstore, harness.stranger)
}

test('fake subject: an artifact that says it is about the image proves nothing by that', async () => {
  const victim = place('enforced/fake-subject')
  attachBundle(victim, Buffer.from('{}'))
  assert.match(await refusal(victim), /evidence that does not verify/)
})

test('unsigned envelope: the right statement without a signature', async () => {
  const victim = place('attested/unsigned')
  const content = slsaStatement({ name: 'app', sha256: victim.subject.digest.slice('sha256:'.length) })
  const payload = Buffer.from(JSON.stringify(content)).toString('base64')
  const envelope = { payloadType: 'application/vnd.in-toto+json', payload, signatures: [] }
  attachLayer(victim, 'att', {
    mediaType: 'application/vnd.dsse.envelope.v1+json',
    bytes: Buffer.from(JSON.stringify(envelope)),
    annotations: { 'dev.cosignproject.cosign/signature': '', predicateType: PROVENANCE },
  })
  await refusal(victim)
})

test('attestation of another image, listed for this one', async () => {
  const victim = place('attested/borrowed')
  const other = uniqueImage('attested elsewhere')
  const content = slsaStatement({ name: 'app', sha256: other.digest.slice('sha256:'.length) })
  for (const form of FORMS) {
    // oxlint-disable-next-line no-await-in-loop -- three
    await attestImage(victim, harness.sigstore, { statement: content, signer: harness.release }, { form })
  }
  await refusal(victim)
})

test('attestation of another type, and a plain signature, where provenance is asked for', async () => {
  const victim = place('attested/other-type')
  const sha256 = victim.subject.digest.slice('sha256:'.length)
  const vulnerabilities = statement('app', sha256, 'https://cosign.sigstore.dev/attestation/vuln/v1', {})
  await attestImage(victim, harness.sigstore, { statement: vulnerabilities, signer: harness.release })
  await signImage(victim, harness.sigstore, harness.release)
  await refusal(victim)
  const provenance = slsaStatement({ name: 'app', sha256 })
  await attestImage(victim, harness.sigstore, { statement: provenance, signer: harness.stranger })
  await refusal(victim)
  await attestImage(victim, harness.sigstore, { statement: provenance, signer: harness.release })
  assert.equal(await statusOf(victim), 200)
})

test('a signature counts under the fallback tag only for a manifest that says so itself', async () => {
  const victim = place('enforced/overwritten')
  const other = publish(harness, {
    repository: victim.repository,
    tag: 'other',
    image: uniqueImage('overwritten other'),
  })
  const { manifest } = await signImage(
    { ...other, repository: victim.repository },
    harness.sigstore,
    harness.release,
  )
  const stored = harness.registry.manifest(victim.repository, manifest)
  assert.ok(stored !== undefined)
  const list = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: [referrerDescriptor(stored)] }
  harness.registry.putManifest(victim.repository, fallbackTag(victim.subject.digest), list)
  assert.match(await refusal(victim), /evidence that does not verify/)
})

test('more evidence than anybody reads: what came in another way is still found', async () => {
  const crowded = place('enforced/crowded')
  await signImage(crowded, harness.sigstore, harness.release, { form: 'tag' })
  for (let each = 0; each < 150; each++) attachBundle(crowded, Buffer.from(`{"crowd":${each}}`))
  harness.registry.requests.length = 0
  assert.equal(await statusOf(crowded), 200)
  assert.ok(harness.registry.requests.length < 200, `${harness.registry.requests.length} requests`)
})

test('more referrers than anybody reads, the good one oldest: never a pass, and not called unsigned either', async () => {
  const crowded = place('enforced/crowded-out')
  await signImage(crowded, harness.sigstore, harness.release)
  for (let each = 0; each < 100; each++) attachBundle(crowded, Buffer.from(`{"crowd":${each}}`))
  const reply = await harness.get(`/v2/${crowded.repository}/manifests/v1`)
  assert.equal(reply.status, 503)
  assert.match(errorOf(reply).message, /^held by policy signed: /)
})

const FAULTS: readonly (readonly [string, Fault])[] = [
  ['500', { status: 500 }],
  ['401', { status: 401 }],
  ['403', { status: 403 }],
  ['429', { status: 429 }],
  ['a reset', 'reset'],
  ['silence', 'hang'],
]

for (const [place_, matches] of [
  ['the referrers API', (url: string) => url.includes('/referrers/')],
  ['the fallback tag', (url: string) => /\/manifests\/sha256-[0-9a-f]{64}$/.test(url)],
  ['the .sig tag', (url: string) => url.endsWith('.sig')],
  ['the .att tag', (url: string) => url.endsWith('.att')],
] as const) {
  for (const [name, fault] of FAULTS) {
    test(`${place_} answers with ${name}: not "unsigned", but held; a signature found elsewhere still counts`, async () => {
      const slug = `${place_} ${name}`.replaceAll(/[^a-z0-9]+/gi, '-').toLowerCase()
      const unsigned = place(`enforced/held-${slug}`)
      const form = place_ === 'the .sig tag' ? 'referrer' : 'tag'
      const signed = await publishSigned(
        harness,
        { repository: `enforced/found-${slug}`, image: uniqueImage(slug) },
        { form },
      )
      harness.registry.behave(({ url }) => (matches(url) ? fault : undefined))
      const held = await harness.get(`/v2/${unsigned.repository}/manifests/v1`)
      assert.equal(held.status, 503)
      assert.equal(errorOf(held).code, 'UNAVAILABLE')
      assert.match(held.reasonPhrase, /^held by policy signed: /)
      assert.ok(held.headers['retry-after'] !== undefined)
      assert.equal(await statusOf(signed), 200)
      harness.registry.behave(undefined)
      await refusal(unsigned)
    })
  }
}

test('a listed signature that cannot be fetched: held, since it may be the one', async () => {
  const signed = await publishSigned(harness, {
    repository: 'enforced/missing-blob',
    image: uniqueImage('missing blob'),
  })
  harness.registry.behave(({ url }) => (url.includes('/blobs/') ? { status: 404 } : undefined))
  assert.equal(await statusOf(signed), 503)
  harness.registry.behave(undefined)
  assert.equal(await statusOf(signed), 200)
})

test('a registry without the referrers API: its 404 is an answer', async () => {
  const signed = await publishSigned(
    harness,
    { repository: 'enforced/no-api', image: uniqueImage('no api') },
    { form: 'fallback-tag' },
  )
  harness.registry.setReferrersApi(false)
  assert.equal(await statusOf(signed), 200)
  await refusal(place('enforced/no-api-unsigned'))
  harness.registry.setReferrersApi(true)
})
