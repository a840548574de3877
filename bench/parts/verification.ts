import assert from 'node:assert/strict'
import { cosignLayer } from '../../src/testing/cosign-layer.ts'
import { createCorporation } from '../../src/testing/pki-evidence.ts'
import { createPkiSigner } from '../../src/testing/pki.ts'
import { createSigstore } from '../../src/testing/sigstore.ts'
import { simpleSigningPayload } from '../../src/testing/statements.ts'
import {
  bundleCandidate,
  layerCandidate,
  SUBJECT as CORPORATE_SUBJECT,
  trustRootOf,
} from '../../src/testing/verification.ts'
import type { Work } from '../measure.ts'
import type { Candidate } from '../../src/verify/types.ts'
import { verifyCandidate, type SubjectInput } from '../../src/verify/verify.ts'
import { ARTIFACT, IDENTITY, MANAGED_KEY, mintBundles, SUBJECT, type BundleKind } from '../bundles.ts'
import { checked, once, type Part } from './part.ts'

/** Step 6, by kind of evidence: with the trust root parsed, and its certificates seen before. */
export function verificationParts(): readonly Part[] {
  const world = once(async () => {
    const sigstore = await createSigstore()
    const input = { subject: SUBJECT, artifact: ARTIFACT, roots: [trustRootOf(sigstore.trustedRoot())] }
    return { sigstore, bundles: await mintBundles(sigstore), input: { ...input, keys: [MANAGED_KEY] } }
  })
  const ofBundle = (name: string, kind: BundleKind): Part => ({
    name: `verify/${name}`,
    async open() {
      const { bundles, input } = await world()
      return verified(bundleCandidate(bundles[kind]), input)
    },
  })
  return [
    ofBundle('message-rekor-1', 'message'),
    ofBundle('provenance-rekor-1', 'provenance'),
    ofBundle('provenance-stamped', 'stamped'),
    ofBundle('provenance-rekor-2', 'rekor-2'),
    ofBundle('provenance-key', 'key'),
    {
      name: 'verify/cosign-layer',
      async open() {
        const { sigstore, input } = await world()
        const payload = simpleSigningPayload('r.test/app', SUBJECT)
        const bundle = await sigstore.message(payload, sigstore.keyless(IDENTITY))
        return verified(layerCandidate(cosignLayer(bundle, payload)), input)
      },
    },
    {
      name: 'verify/pki',
      async open() {
        const corporation = await createCorporation()
        const { issuing, root } = corporation
        const candidate = bundleCandidate(await corporation.mint(createPkiSigner(issuing)))
        const roots = [corporation.pki([root, issuing])]
        return verified(candidate, { subject: CORPORATE_SUBJECT, roots, keys: [] })
      },
    },
  ]
}

function verified(candidate: Candidate, input: SubjectInput): Work {
  return checked(
    () => verifyCandidate(candidate, input),
    (result) => {
      assert.deepEqual(result.failures, [])
      assert.equal(result.verified.length, 1)
    },
  )
}
