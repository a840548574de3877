import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { suite, test } from 'node:test'
import seeds from '@sigstore/tuf/seeds.json' with { type: 'json' }
import { createMirrorUnderTest, never } from '../../src/testing/tuf-mirror.ts'
import { loadPublicGoodRoot } from '../../src/trust/public-good.ts'
import { TrustError } from '../../src/trust/trust-error.ts'
import { parseTrustRoot } from '../../src/trust/trust-root.ts'
import { readPublished, serveFrozen, type FrozenRepository } from './tuf-frozen-repository.ts'

// A checkout of github.com/sigstore/root-signing, of any day that is more than a week ago (docs/tuf-mirror.md).
const CHECKOUT =
  process.env['PORTCULLIS_ROOT_SIGNING'] ??
  fileURLToPath(new URL('../../../shared/fixtures/root-signing/', import.meta.url))
const skip = existsSync(`${CHECKOUT}/metadata/timestamp.json`)
  ? false
  : `no checkout of sigstore/root-signing at ${CHECKOUT}; set PORTCULLIS_ROOT_SIGNING to one`

const HOUR_MS = 3_600_000
/** One line that names the file, says since when it is no good, and what that means. */
const EXPIRED =
  /\/(?:root|timestamp)\.json \(version \d+\) expired at 20\S+Z, \d+ (?:days|hours?) ago: the repository is frozen[^\n]*$/

const SEED_ROOT = Buffer.from(seeds['https://tuf-repo-cdn.sigstore.dev']['root.json'], 'base64')

function initialRoots({ files }: FrozenRepository): [string, Buffer][] {
  const roots: [string, Buffer][] = [['the seed that @sigstore/tuf ships', SEED_ROOT]]
  for (const version of [1, 5]) {
    const bytes = files.get(`${version}.root.json`)
    if (bytes !== undefined) roots.push([`root ${version}`, bytes])
  }
  return roots
}

/** A moment at which the checkout was fresh. */
function whenFresh({ files }: FrozenRepository): Date {
  const timestamp = JSON.parse(files.get('timestamp.json')?.toString() ?? '{}')
  return new Date(Date.parse(timestamp.signed.expires) - HOUR_MS)
}

function isExpiry(consequence: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof TrustError)
    assert.equal(error.code, 'refused')
    assert.match(error.message, EXPIRED)
    assert.match(error.message, consequence)
    return true
  }
}

suite('the public-good TUF repository, frozen months ago', () => {
  test('a new mirror does not take it, and has no more than its seed', { skip }, async (t) => {
    await using frozen = await serveFrozen(await readPublished(CHECKOUT))
    for (const [name, initialRoot] of initialRoots(frozen)) {
      await t.test(name, async () => {
        await using under = await createMirrorUnderTest({ url: frozen.url, root: () => initialRoot })
        for (const mirror of [await under.open(), await under.open()]) {
          await assert.rejects(
            mirror.refresh(never()),
            isExpiry(/; ours has nothing from this repository yet$/),
          )
          assert.equal(mirror.state(), undefined)
          assert.equal(mirror.target('trusted_root.json'), undefined)
          assert.equal(mirror.file('timestamp.json'), undefined)
        }
      })
    }
    assert.ok(loadPublicGoodRoot().material.tlogs.length > 0)
  })

  test('a mirror that had it while it was fresh keeps what it had', { skip }, async (t) => {
    await using frozen = await serveFrozen(await readPublished(CHECKOUT))
    const fresh = whenFresh(frozen)
    for (const [name, initialRoot] of initialRoots(frozen)) {
      await t.test(name, async () => {
        await using under = await createMirrorUnderTest({ url: frozen.url, root: () => initialRoot })
        under.setNow(fresh)
        const mirror = await under.open()
        await mirror.refresh(never())
        const state = mirror.state()
        const target = mirror.target('trusted_root.json')
        assert.equal(state?.refreshedAt.getTime(), fresh.getTime())
        assert.ok(parseTrustRoot('public-good', target?.toString() ?? '').material.tlogs.length > 0)
        // Older roots than the one to begin with cannot be authenticated, so they are not served.
        const first = JSON.parse(initialRoot.toString()).signed.version
        assert.ok(mirror.file(`${first}.root.json`) !== undefined)
        assert.ok(mirror.target('registry.npmjs.org/keys.json') !== undefined)
        under.setNow(new Date())
        const kept = /; ours stays as it was at 20/
        await assert.rejects(mirror.refresh(never()), isExpiry(kept))
        assert.deepEqual(mirror.state(), state)
        assert.equal(mirror.target('trusted_root.json'), target)
        const restarted = await under.open()
        assert.deepEqual(restarted.state(), state)
        await assert.rejects(restarted.refresh(never()), isExpiry(kept))
        assert.deepEqual(restarted.target('trusted_root.json'), target)
        assert.deepEqual(under.events, [])
      })
    }
  })
})
