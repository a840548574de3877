import assert from 'node:assert/strict'
import test from 'node:test'
import { TYPE } from '../testing/provenance.ts'
import { readProvenance } from './provenance.ts'

/** Whoever signs provenance chooses how long its lists are, and a revocation asks all of it only for its builder. */

const read = (): never => assert.fail('read before anybody asks for it')
const READ = { get: read, ownKeys: read, getOwnPropertyDescriptor: read }
const LONG = new Proxy([], READ)
const SOURCE = { uri: 'git+https://github.com/acme/app@refs/heads/main', digest: new Proxy({}, READ) }

const SHAPES: Readonly<Record<string, readonly [type: string, predicate: object]>> = {
  v1: [TYPE.v1, { runDetails: { builder: { id: 'b' } }, buildDefinition: { resolvedDependencies: LONG } }],
  'v0.2': [TYPE.v0_2, { builder: { id: 'b' }, invocation: { configSource: SOURCE }, materials: LONG }],
  'v0.1': [TYPE.v0_1, { builder: { id: 'b' }, recipe: { definedInMaterial: 0 }, materials: [SOURCE] }],
  'v0.1 of Google Cloud Build': [
    TYPE.v0_1,
    {
      builder: { id: 'b' },
      recipe: { type: 'https://cloudbuild.googleapis.com/CloudBuildYaml@v0.1' },
      materials: [SOURCE],
    },
  ],
}

for (const [name, [type, predicate]] of Object.entries(SHAPES)) {
  test(`${name}: who built it is told without reading any list`, () => {
    const provenance = readProvenance(type, predicate)
    assert.equal(provenance.builderId.value, 'b')
    assert.throws(() => provenance.sourceDigest, /before anybody asks/)
  })
}
