import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseAllDocuments } from 'yaml'
import { problemText } from '../policy/problem.ts'
import type { Format } from './format.ts'
import { importFile } from './import.ts'
import { comments, policyYaml } from './render.ts'

const OPTIONS = { trustRoot: undefined, accept: new Set<never>(), readKeyFile: () => undefined }
const PASS = `apiVersion: policy.sigstore.dev/v1beta1
kind: ClusterImagePolicy
metadata: {name: pass}
spec:
  images: [{glob: "**"}]
  authorities: [{static: {action: pass}}]
`

const read = (text: string, format: Format = 'auto') => importFile('in.yaml', text, format, OPTIONS)

describe('a file', () => {
  it('of several documents, empty ones among them', () => {
    const { documents, problems } = read(
      `---\n${PASS}---\n# nothing\n---\n${PASS.replace('name: pass', 'name: two')}---\n`,
    )
    assert.deepEqual(problems, [])
    assert.deepEqual(
      documents.map(({ title }) => title),
      ['ClusterImagePolicy pass', 'ClusterImagePolicy two'],
    )
    assert.deepEqual(
      documents.map(({ line }) => line),
      [2, 11],
    )
  })

  it('as kubectl lists objects', () => {
    const items = JSON.stringify([
      parseAllDocuments(PASS)[0]?.toJS(),
      {
        apiVersion: 'policy.sigstore.dev/v1beta1',
        kind: 'ClusterImagePolicy',
        metadata: { name: 'x' },
        spec: { mode: 'maybe' },
      },
    ])
    const { documents } = read(
      `apiVersion: v1\nkind: List\nmetadata: {}\nitems: ${items.replace('{"apiVersion":"policy.sigstore.dev/v1beta1","kind":"ClusterImagePolicy","metadata":{"name":"x"', '\n  $&')}\n`,
    )
    assert.deepEqual(
      documents.map(({ policies }) => policies.length),
      [1, 0],
    )
    assert.equal(documents[1]?.refusals.find(({ path }) => path === 'spec.mode')?.line, 5)
  })

  it('in JSON, with its lines', () => {
    const { documents } = read('{\n  "default": [\n    {"type": "x"}\n  ]\n}')
    assert.match(documents[0]?.refusals.map(problemText).join('') ?? '', /^in\.yaml:3: default\[0\]\.type: /)
  })

  it('is read as what it is said to be', () => {
    assert.match(read(PASS, 'kyverno').documents[0]?.refusals[0]?.reason ?? '', /which is not imported/)
    assert.match(read(PASS, 'containers-policy').documents[0]?.refusals[0]?.reason ?? '', /nobody knows/)
  })

  it('gives nothing of a document of which anything is refused', () => {
    const { documents } = read(PASS.replace('spec:', 'spec:\n  mode: maybe'))
    assert.deepEqual(documents[0]?.policies, [])
    assert.equal(documents[0].refusals.length, 1)
  })

  it('is refused where no document of ours can say it', () => {
    const long = `{static: {action: fail, message: ${'x'.repeat(500)}}}`
    const { documents } = read(PASS.replace('{static: {action: pass}}', long))
    assert.match(
      documents[0]?.refusals.map(problemText).join('') ?? '',
      /^in\.yaml:6: .*no ImagePolicy can say this: .*200/,
    )
  })
})

describe('from somebody who means harm', () => {
  const unread: readonly (readonly [string, string, RegExp])[] = [
    ['ten megabytes', `a: "${'x'.repeat(10 * 1024 * 1024)}"`, /at most 1048576/],
    [
      'a billion laughs',
      `a: &a [x,x,x,x,x,x,x,x,x]\n${['b', 'c', 'd', 'e', 'f', 'g'].map((key, index) => `${key}: &${key} [${`*${'abcdef'[index]},`.repeat(9)}]`).join('\n')}`,
      /alias/i,
    ],
    ['a key twice', `${PASS}spec: {}\n`, /unique/],
    ['no YAML', '{', /./],
    ['nothing', '# nothing\n', /no document/],
  ]
  for (const [name, text, problem] of unread) {
    it(`${name} is not read`, () => {
      const { documents, problems } = read(text)
      assert.deepEqual(documents, [])
      assert.match(problems.map(problemText).join('\n'), problem)
    })
  }

  const refused: readonly (readonly [string, string])[] = [
    ['a scalar', 'just text'],
    ['a list', '[1, 2]'],
    ['a prototype', PASS.replace('spec:', '__proto__: {kind: ClusterImagePolicy}\nspec:')],
    ['a constructor', PASS.replace('images:', 'constructor: {}\n  images:')],
    ['deep nesting', PASS.replace('"**"', `${'['.repeat(500)}${']'.repeat(500)}`)],
    ['a mapping for a text', PASS.replace('"**"', '{toString: 1}')],
    [
      'an endless pattern',
      PASS.replace(
        'static: {action: pass}',
        `keyless: {identities: [{issuer: i, subjectRegExp: "${'(a*)*'.repeat(400)}"}]}`,
      ),
    ],
  ]
  for (const [name, text] of refused) {
    it(`${name} is refused`, () => {
      const [document] = read(text).documents
      assert.deepEqual(document?.policies, [])
      assert.ok(document.refusals.length > 0)
    })
  }

  it('a list without end has an end', () => {
    const many = '{static: {action: pass}}, '.repeat(20_000)
    const [document] = read(PASS.replace('{static: {action: pass}}', many)).documents
    assert.match(document?.refusals[0]?.reason ?? '', /found 20000 entries/)
  })

  it('so has what is said of it', () => {
    const fields = Array.from({ length: 5_000 }, (_, index) => `x${index}: 1`).join(', ')
    const [document] = read(PASS.replace('spec:', `spec:\n  policy: {${fields}}`)).documents
    assert.equal(document?.refusals.length, 500)
  })

  it('no comment becomes a part of a policy', () => {
    assert.equal(comments(['a\nspec: {}\u2028b\u0085\u001b[2J']), '# a?spec: {}?b??[2J\n')
    const [document] = read(
      PASS.replace('authorities: [{', 'authorities: [{name: "a\\nspec: {}", '),
    ).documents
    const [policy] = document?.policies ?? []
    assert.ok(policy)
    const text = policyYaml(policy, document?.notes.map(({ message }) => message) ?? [])
    assert.deepEqual(parseAllDocuments(text)[0]?.toJS(), policy)
  })
})
