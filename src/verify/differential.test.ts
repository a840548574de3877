import assert from 'node:assert/strict'
import { before, suite, test } from 'node:test'
import { bundleFromJSON, bundleToJSON, type SerializedBundle } from '@sigstore/bundle'
import { TrustedRoot } from '@sigstore/protobuf-specs'
import { toSignedEntity, toTrustMaterial, Verifier, type TrustMaterial } from '@sigstore/verify'
import { createSigstore, type MintOptions, type Sigstore } from '../testing/sigstore.ts'
import { bundleCandidate, IDENTITY, IMAGE, STATEMENT, SUBJECT, trustRootOf } from '../testing/verification.ts'
import { verifyCandidate } from './verify.ts'

/**
 * A second opinion: `sigstore verify` is @sigstore/verify with the same trusted root. Whatever it refuses for what is in
 * the bundle must be refused here; the few things that are accepted on purpose are named in `ALLOWED`.
 */

const SEEDS = 12
const EDITS_PER_BUNDLE = 60

/** Material of an unknown instance is dropped here and fatal there. */
const ALLOWED: ReadonlySet<string> = new Set(['logId', 'timestamp-signer'])

let sigstore: Sigstore
let material: TrustMaterial

before(async () => {
  sigstore = await createSigstore()
  material = toTrustMaterial(TrustedRoot.fromJSON(sigstore.trustedRoot()))
})

function acceptedByLibrary(json: SerializedBundle): boolean {
  try {
    new Verifier(material).verify(toSignedEntity(bundleFromJSON(json), IMAGE))
    return true
  } catch {
    return false
  }
}

function acceptedHere(json: SerializedBundle): boolean {
  const input = { subject: SUBJECT, artifact: IMAGE, roots: [trustRootOf(sigstore.trustedRoot())], keys: [] }
  return verifyCandidate(bundleCandidate(Buffer.from(JSON.stringify(json))), input).verified.length > 0
}

/** Mulberry32: the same damage in every run. */
function randomOf(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) % below
  }
}

type Place = { readonly holder: Record<string, unknown>; readonly key: string; readonly value: string }

/** Every text in the bundle, by where it stands. */
function placesOf(value: unknown): readonly Place[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, item]: [string, unknown]) =>
    typeof item === 'string'
      ? [{ holder: value as Record<string, unknown>, key, value: item }]
      : placesOf(item),
  )
}

function flip(text: string, random: (below: number) => number): string {
  const at = random(text.length)
  const replacement = 'ABCDEFGHIJabcdefghij0123456789+/='[random(33)] ?? 'A'
  return text.slice(0, at) + replacement + text.slice(at + 1)
}

const KINDS: Readonly<Record<string, MintOptions>> = {
  'Rekor v1': {},
  'Rekor v1 with timestamp': { timestamp: true },
  'Rekor v1, proof only': { timestamp: true, promise: false },
  'Rekor v2': { log: 2 },
  'intoto/0.0.2': { intoto002: true },
}

suite('second opinion of @sigstore/verify', () => {
  for (const [kind, options] of Object.entries(KINDS)) {
    for (const content of ['statement', 'message'] as const) {
      if (content === 'message' && options.intoto002 === true) continue
      test(`${content}, ${kind}: what it refuses is refused`, async () => {
        const signer = sigstore.keyless(IDENTITY)
        const bundle =
          content === 'statement'
            ? await sigstore.dsse(STATEMENT, signer, options)
            : await sigstore.message(IMAGE, signer, options)
        const original = bundleToJSON(bundle)
        assert.ok(acceptedByLibrary(original) && acceptedHere(original))
        for (let seed = 0; seed < SEEDS; seed++) {
          const random = randomOf(seed * 7919 + 1)
          for (let edit = 0; edit < EDITS_PER_BUNDLE / SEEDS; edit++) {
            const json = structuredClone(original)
            const places = placesOf(json).filter(({ value }) => value !== '')
            const place = places[random(places.length)] ?? assert.fail('no text')
            if (ALLOWED.has(place.key)) continue
            place.holder[place.key] = flip(place.value, random)
            if (!acceptedHere(json)) continue
            const what = `${place.key}: ${place.value.slice(0, 40)} -> ${String(place.holder[place.key]).slice(0, 40)}`
            assert.ok(acceptedByLibrary(json), what)
          }
        }
      })
    }
  }
})
