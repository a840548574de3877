import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { parseAllDocuments } from 'yaml'
import { setRingMode } from './policy-edit.ts'

const EDIT = { policy: 'signed', ring: 'canary', mode: 'enforce' } as const

const block = (spec: string) => `# Who may sign.
apiVersion: portcullis.dev/v1alpha1
kind: ImagePolicy
metadata:
  name: signed   # unique
spec:
${spec}  images:
    - {glob: "ghcr.io/acme/**"}

    -   glob: nginx # as it was
`

const cases = [
  {
    name: 'a ring that is there',
    before: block('  mode: observe\n  rings:\n    canary:   observe   # since May\n    default: off\n'),
    after: block('  mode: observe\n  rings:\n    canary:   enforce   # since May\n    default: off\n'),
  },
  {
    name: 'a ring in quotes',
    before: block('  rings: { "canary": \'observe\' }\n'),
    after: block('  rings: { "canary": "enforce" }\n'),
  },
  {
    name: 'another ring',
    before: block('  rings:\n    beta: enforce # first\n'),
    after: block('  rings:\n    beta: enforce # first\n    canary: enforce\n'),
  },
  {
    name: 'another ring in a flow mapping',
    before: block('  rings: {beta: enforce}\n'),
    after: block('  rings: {"canary": "enforce", beta: enforce}\n'),
  },
  {
    name: 'the first ring, below the mode',
    before: block('  mode: observe # for now\n'),
    after: block('  mode: observe # for now\n  rings:\n    canary: enforce\n'),
  },
  {
    name: 'the first ring without a mode',
    before: block(''),
    after: block('  rings:\n    canary: enforce\n'),
  },
  {
    name: 'one document of several',
    before: `# other\nkind: ImagePolicy\nmetadata: {name: other}\nspec: {mode: off}\n---\n${block('  mode: observe\n')}`,
    after: `# other\nkind: ImagePolicy\nmetadata: {name: other}\nspec: {mode: off}\n---\n${block('  mode: observe\n  rings:\n    canary: enforce\n')}`,
  },
  {
    name: 'JSON',
    before: '{"kind":"ImagePolicy","metadata":{"name":"signed"},"spec":{"mode":"observe"}}',
    after:
      '{"kind":"ImagePolicy","metadata":{"name":"signed"},"spec":{"rings": {"canary": "enforce"}, "mode":"observe"}}',
  },
  {
    name: 'a file that does not end its last line',
    before: 'kind: ImagePolicy\nmetadata: {name: signed}\nspec:\n  mode: observe',
    after:
      'kind: ImagePolicy\nmetadata: {name: signed}\nspec:\n  mode: observe\n  rings:\n    canary: enforce',
  },
]

describe('setRingMode changes nothing but', () => {
  for (const { name, before, after } of cases) {
    it(name, () => assert.equal(setRingMode(before, EDIT), after))
  }

  it('a mode that is there already: nothing at all', () => {
    const text = block('  rings:\n    canary:   enforce\n')
    assert.equal(setRingMode(text, EDIT), text)
  })

  it('every policy of the examples of this project', () => {
    const examples = new URL('../../config/policies/', import.meta.url)
    const texts = readdirSync(examples)
      .filter((file) => file.endsWith('.yaml'))
      .map((file) => readFileSync(new URL(file, examples), 'utf8'))
    const policies = texts.flatMap((text) =>
      parseAllDocuments(text)
        .filter((document) => document.get('kind') === 'ImagePolicy')
        .map((document) => ({ text, policy: String(document.getIn(['metadata', 'name'])) })),
    )
    assert.ok(policies.length > 0)
    for (const { text, policy } of policies) {
      const edited = setRingMode(text, { ...EDIT, policy }) ?? assert.fail(policy)
      const lines = new Set(text.split('\n'))
      const added = edited.split('\n').filter((line) => !lines.has(line))
      const others = added.filter((line) => !/^\s+(?:rings:|canary: enforce)(?: *#.*)?$/.test(line))
      assert.deepEqual(others, [], policy)
    }
  })
})

describe('setRingMode', () => {
  it('writes a file anew whose place cannot be found in the text, with its comments', () => {
    const text = '# why\nkind: ImagePolicy\nmetadata: {name: signed}\nspec:\n  rings: {}\n'
    const edited = setRingMode(text, EDIT) ?? assert.fail()
    assert.match(edited, /^# why\n/)
    assert.equal(parseAllDocuments(edited)[0]?.getIn(['spec', 'rings', 'canary']), 'enforce')
  })

  for (const { name, text } of [
    { name: 'another policy', text: block('').replace('signed', 'other') },
    { name: 'another kind', text: block('').replace('ImagePolicy', 'Revocation') },
    { name: 'no YAML', text: '{{{' },
    { name: 'nothing', text: '' },
  ]) {
    it(`finds no policy in ${name}`, () => assert.equal(setRingMode(text, EDIT), undefined))
  }
})
