import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { globMatches } from '../../testing/cluster-image-policy.ts'
import { compileGlob } from '../glob.ts'
import { convertImageGlob } from './image-glob.ts'

describe('a glob of policy-controller', () => {
  const same = [
    '**',
    '*',
    '*/*',
    'ghcr.io/acme/**',
    'ghcr.io/acme/app*',
    'index.docker.io/library/*',
    '**demo**',
    'localhost:5000/**',
    '*.example.com/**',
  ]
  for (const glob of same) {
    it(`${glob} stays`, () => assert.deepEqual(convertImageGlob(glob), { ok: true, glob }))
  }
  const changed: readonly (readonly [string, string])[] = [
    ['ghcr.io/acme/app@*', 'ghcr.io/acme/app'],
    ['ghcr.io/acme/app@**', 'ghcr.io/acme/app'],
    ['ghcr.io/acme/*@sha256:*', 'ghcr.io/acme/*'],
    ['*/**', '**'],
  ]
  for (const [glob, expected] of changed) {
    it(`${glob} is ${expected}`, () => assert.deepEqual(convertImageGlob(glob), { ok: true, glob: expected }))
  }

  const refused: readonly (readonly [string, RegExp, RegExp])[] = [
    ['[', /no glob/, /letters/],
    ['ghcr.io/acme/app', /matches nothing/, /ghcr\.io\/acme\/app@\*/],
    ['ghcr.io/acme/app:v1', /whose tag/, /write ghcr\.io\/acme\/app for/],
    ['ghcr.io/acme/app:*', /whose tag/, /write ghcr\.io\/acme\/app for/],
    [`ghcr.io/acme/app@sha256:${'a'.repeat(64)}`, /single digests/, /write ghcr\.io\/acme\/app,/],
    ['images.*', /matches nothing/, /registry first/],
    ['image*', /matches nothing/, /index\.docker\.io\/library\/image\*/],
    ['ghc**', /matches nothing/, /registry first/],
    ['acme/app*', /matches nothing/, /index\.docker\.io\/acme\/app\*/],
    ['docker.io/acme/*', /matches nothing/, /index\.docker\.io\/acme\/\*/],
    ['index.docker.io/nginx*', /matches nothing/, /library\/nginx\*/],
    ['docker.*/**', /read otherwise/, /registry itself/],
    ['ghc**/app*', /read otherwise/, /registry itself/],
    ['GHCR.io/acme/*', /no repository matches/, /lower case/],
    [`ghcr.io/${'*.'.repeat(300)}*`, /characters/, /512/],
    [`${'*.'.repeat(300)}com/*`, /characters/, /512/],
  ]
  for (const [glob, reason, instead] of refused) {
    it(`${glob.slice(0, 40)} is refused`, () => {
      const result = convertImageGlob(glob)
      assert.ok(!result.ok)
      assert.match(result.reason, reason)
      assert.match(result.instead, instead)
    })
  }

  it('is the same glob, for every image, where it is converted', () => {
    const part = fc.constantFrom('x', 'y', 'x-y', '*', '**', 'x*', '*y', 'z**')
    const host = fc.constantFrom(
      'ghcr.io',
      'index.docker.io',
      '*',
      '**',
      '*.io',
      'quay.io:5000',
      'ghcr*',
      'x',
    )
    const end = fc.constantFrom('', '*', '**', '@*', '@**', ':*')
    const glob = fc
      .tuple(host, fc.array(part, { maxLength: 3 }), end)
      .map(([first, path, last]) => [first, ...path].join('/') + last)
    // No text of these is part of a digest, so that a literal end cannot match one by chance.
    const name = fc.array(fc.constantFrom('x', 'y', 'x-y', 'xy', 'zy', 'library'), {
      minLength: 1,
      maxLength: 3,
    })
    const registry = fc.constantFrom('ghcr.io', 'docker.io', 'quay.io:5000', 'x.example')
    let compared = 0
    fc.assert(
      fc.property(glob, registry, name, (source, at, path) => {
        const converted = convertImageGlob(source)
        // A name of one part is an official image there, and nobody's here.
        const repository =
          at === 'docker.io' && path.length === 1 ? `library/${path.join('/')}` : path.join('/')
        const image = { registry: at, name: repository, digest: `sha256:${'0'.repeat(64)}` }
        if (!converted.ok) return
        compared++
        const compiled = compileGlob(converted.glob)
        assert.ok(compiled.ok)
        assert.equal(compiled.glob.matches(`${at}/${repository}`), globMatches(source, image), source)
      }),
      { numRuns: 5_000 },
    )
    assert.ok(compared > 500, String(compared))
  })
})
