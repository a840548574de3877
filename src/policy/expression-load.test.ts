import assert from 'node:assert/strict'
import test from 'node:test'
import fc from 'fast-check'
import { compileExpression, CUSTOM } from '../testing/expressions.ts'
import { TYPE } from '../testing/provenance.ts'
import { expressionsSchema } from './expression-document.ts'

const LOAD_PROBLEMS: Readonly<Record<string, string>> = {
  'statement.predicate.a ==': 'found no CEL expression: line 1:23: found = but expecting end of input',
  'foo == 1':
    'found unknown variable foo, expected one of signer, image, statement, at character 1 of foo == 1',
  'statment.predicate.a == 1': 'found unknown variable statment, did you mean statement?, at character 1',
  'signer.isuer == "x"': 'found unknown field isuer, did you mean issuer?, at character 7',
  'signer["isuer"] == "x"': 'found unknown field isuer, did you mean issuer?',
  'signer.extensions.sourceRepositoryUrl == "x"': 'did you mean sourceRepositoryURI?',
  'image.tag == "v1"': 'found unknown field tag, expected one of registry, name, digest',
  'image.name': 'found an expression of type string, expected bool',
  'size(statement.predicate.a)': 'found an expression of type int, expected bool',
  'image.name == 5': 'found == of string and int, which are never equal',
  'image.name && true': 'found && of string, expected bool',
  '!image.name': 'found !(string), which there is not',
  'image.name < 5': 'found <(string, int), which there is not',
  'image.name.startsWith(1)': 'found string.startsWith(int), which there is not',
  'true ? image.name : 1': 'found ?: of string and int',
  '5 in [image.name]': 'found int in list of string, which is never true',
  'image.name.all(c, true)': 'found going through string, expected a list or a map',
  'statement.predicate.l.all(image, true)': 'found a variable image where there is one already',
  'statement.predicate.l.all(x, y)': 'found unknown variable y, did you mean x?',
  'statement.predicate.l.all(x.y, true)': 'found all() without a variable',
  'has(statement)': 'found has() without a field',
  'image.name.lowerAscii() == "x"': 'found unknown function lowerAscii',
  'statement.predicate.t.getHours("Europe/Rome") == 1': 'found unknown function getHours',
  'statement.predicate.a.matches("(")': 'found no RE2 pattern: error parsing regexp: missing closing )',
  'statement.predicate.a.matches(statement.predicate.b)': 'found matches() without a constant pattern',
  'statement.predicate.a.matches("a{1000}")': 'instructions, expected at most 256',
  'google.protobuf.Int32Value{value: 1} == 1': 'found unknown type google.protobuf.Int32Value',
  '{1: true}[1]': 'a map with a key of type int, expected string',
  'slsa.builderId == "x"': 'found unknown variable slsa',
}

for (const [expression, problem] of Object.entries(LOAD_PROBLEMS)) {
  test(`does not load: ${expression}`, () => {
    const { checks, problems } = compileExpression(expression)
    assert.equal(checks.length, 0)
    assert.ok(problems.join('\n').includes(problem), problems.join('\n'))
  })
}

test('every mistake of an expression is told at once, each with its place', () => {
  assert.equal(compileExpression('foo == 1 && image.tag == "x"').problems.length, 2)
})

test('bounds of an expression', () => {
  const deep = ['a', 'b', 'c', 'd'].reduceRight(
    (inner, name) => `statement.predicate.l.all(${name}, ${inner})`,
    'true',
  )
  assert.match(compileExpression(deep).problems.join(), /macros nested 4 deep, expected at most 3/)
  assert.match(
    compileExpression(`${'true && '.repeat(300)}true`).problems.join(),
    /of \d+ parts, expected at most 500/,
  )
  assert.equal(expressionsSchema.safeParse([{ expression: 'x'.repeat(2049) }]).success, false)
})

test('no text throws when it is compiled', () => {
  const word = fc.constantFrom(
    'statement',
    '.predicate',
    '.a',
    '==',
    '"x"',
    '&&',
    '(',
    ')',
    '!',
    '[',
    ']',
    '.all(x,',
    '1',
    '?',
    ':',
    'in',
    ' ',
  )
  const text = fc.oneof(
    fc.string(),
    fc.array(word, { maxLength: 12 }).map((words) => words.join('')),
  )
  fc.assert(
    fc.property(text, fc.constantFrom(CUSTOM, TYPE.v1), (expression, type) => {
      const { checks, problems } = compileExpression(expression, type)
      assert.equal(checks.length + Math.min(1, problems.length), 1)
    }),
  )
})
