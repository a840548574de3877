import assert from 'node:assert/strict'
import { readdir, readFile } from 'node:fs/promises'
import { test } from 'node:test'

/** The threat model names tests as proof. A test that is renamed or removed must take its line with it. */

const ROOT = new URL('../../', import.meta.url)
const NAMED = /`([\w/.-]+\.test\.ts)`((?:[:,] "(?:[^"\\]|\\.)+")*)/g
const QUOTED = /"((?:[^"\\]|\\.)+)"/g

test('every test that the threat model names exists', async () => {
  const page = await readFile(new URL('docs/threat-model.md', ROOT), 'utf8')
  const named = [...page.matchAll(NAMED)].flatMap(([, file = '', names = '']) =>
    [...names.matchAll(QUOTED)].map(([, name = '']) => ({
      file,
      name: name.replaceAll('\\"', '"').replace(/ …$/, ''),
    })),
  )
  assert.ok(named.length > 50, `only ${named.length} found: has the notation changed?`)
  for (const { file, name } of named) {
    const path = file.includes('/') ? file : `test/integration/${file}`
    // oxlint-disable-next-line no-await-in-loop -- a few small files
    const source = await readFile(new URL(path, ROOT), 'utf8')
    assert.ok(source.includes(name), `${path} has no test called "${name}"`)
  }
})

test('every constant that the threat model names exists', async () => {
  const page = await readFile(new URL('docs/threat-model.md', ROOT), 'utf8')
  const constants = new Set([...page.matchAll(/`([A-Z]+(?:_[A-Z]+)+)`/g)].map(([, name = '']) => name))
  const files = await readdir(new URL('src/', ROOT), { recursive: true })
  const modules = files.filter((path) => path.endsWith('.ts') && !path.endsWith('.test.ts'))
  const sources = await Promise.all(
    modules.map(async (path) => await readFile(new URL(`src/${path}`, ROOT), 'utf8')),
  )
  assert.ok(constants.size > 30, `only ${constants.size} found: has the notation changed?`)
  for (const name of constants)
    assert.ok(
      sources.some((source) => source.includes(`const ${name} `) || source.includes(`const ${name}:`)),
      name,
    )
})
