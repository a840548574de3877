import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import test from 'node:test'
import { isRecord } from '../policy/problem.ts'
import { generatedFiles } from './generate.ts'
import { configJsonSchema } from './schema.ts'

const ROOT = new URL('../../', import.meta.url)

for (const [path, text] of generatedFiles()) {
  test(`${path} is up to date (node src/config/generate.ts)`, async () => {
    const stored = await readFile(new URL(path, ROOT), 'utf8')
    // The formatter lays JSON out; what it says is what counts.
    if (path.endsWith('.json')) assert.deepEqual(JSON.parse(stored), JSON.parse(text))
    else assert.equal(stored, text)
  })
}

function keysOf(schema: unknown): readonly string[] {
  if (!isRecord(schema)) return []
  const properties = isRecord(schema['properties']) ? schema['properties'] : {}
  const options = Array.isArray(schema['oneOf']) ? schema['oneOf'] : []
  const below = [...options, schema['additionalProperties'], schema['items']]
  const nested = [...Object.values(properties), ...below].flatMap(keysOf)
  return [...Object.keys(properties), ...nested]
}

test('config/default.yaml shows every setting', async () => {
  const text = await readFile(new URL('config/default.yaml', ROOT), 'utf8')
  const shown = new Set([...text.matchAll(/\b([A-Za-z0-9]+):/g)].map(([, key]) => key))
  // `password` has a better place than a file, so the example does not lead there.
  const missing = keysOf(configJsonSchema()).filter((key) => !shown.has(key) && key !== 'password')
  assert.deepEqual(missing, [])
})

test('every setting has a line in the reference', () => {
  const reference = generatedFiles().get('docs/configuration.md') ?? ''
  const missing = keysOf(configJsonSchema()).filter((key) => !reference.includes(key))
  assert.deepEqual(missing, [])
})
