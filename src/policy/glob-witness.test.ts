import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compileGlob, type Glob } from './glob.ts'
import { examplesOf, sharedExample } from './glob-witness.ts'

function globOf(source: string): Glob {
  const result = compileGlob(source)
  assert.ok(result.ok)
  return result.glob
}

const EXAMPLES: readonly (readonly [glob: string, examples: readonly string[]])[] = [
  ['ghcr.io/acme/app', ['ghcr.io/acme/app']],
  ['ghcr.io/acme/*', ['ghcr.io/acme/app']],
  ['ghcr.io/acme/**', ['ghcr.io/acme/app', 'ghcr.io/acme/team/app']],
  ['nginx', ['docker.io/library/nginx']],
  ['**', ['registry.example/app', 'registry.example/team/app']],
]

for (const [glob, examples] of EXAMPLES) {
  test(`examples of ${glob}`, () => assert.deepEqual(examplesOf(globOf(glob)), examples))
}

const SHARED: readonly (readonly [one: string, other: string, example: string | undefined])[] = [
  ['ghcr.io/acme/**', 'ghcr.io/acme/app', 'ghcr.io/acme/app'],
  ['ghcr.io/acme/*', 'ghcr.io/acme/*/web', undefined],
  ['ghcr.io/acme/**', 'ghcr.io/other/**', undefined],
  ['ghcr.io/*/web', 'ghcr.io/acme/*', 'ghcr.io/acme/web'],
  ['ghcr.io/acme/a*', 'ghcr.io/acme/*b', 'ghcr.io/acme/appb'],
  ['ghcr.io/a*/**', 'ghcr.io/**/z', 'ghcr.io/app/z'],
  ['ghcr.io/acme/a*', 'ghcr.io/acme/b*', undefined],
  ['ghcr.io/acme/shop-*/*', 'ghcr.io/acme/*/web', 'ghcr.io/acme/shop-x/web'],
  ['ghcr.io/*x/a*', 'ghcr.io/y*/*b', 'ghcr.io/yx/ab'],
  ['**', 'ghcr.io/acme/app', 'ghcr.io/acme/app'],
  ['*.acme.io/**', 'eu.acme.io/app', 'eu.acme.io/app'],
  ['nginx', '*', 'docker.io/library/nginx'],
  ['nginx', 'ghcr.io/library/nginx', undefined],
]

for (const [one, other, example] of SHARED) {
  test(`${one} and ${other} share ${example ?? 'nothing'}`, () => {
    assert.equal(sharedExample(globOf(one), globOf(other)), example)
    assert.equal(sharedExample(globOf(other), globOf(one)), example)
  })
}

test('two long globs are not searched for ever', () => {
  const long = (end: string) => globOf(`ghcr.io/${'*a'.repeat(240)}${end}`)
  assert.equal(sharedExample(long('b'), long('c')), undefined)
})
