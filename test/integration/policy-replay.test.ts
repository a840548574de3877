import assert from 'node:assert/strict'
import { cp, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { Command } from 'commander'
import { registerPolicyReplay } from '../../src/cli/policy-replay.ts'
import { attestImage } from '../../src/testing/evidence.ts'
import { slsaStatement } from '../../src/testing/statements.ts'
import { publish, publishSigned, startHarness, uniqueImage, uniqueIndex, type Harness } from './harness.ts'

/** What a proxy has served is judged again under other policies: beside it, from its disk, without network. */

async function replay(
  { dataDirectory }: Harness,
  edit: (text: string) => string,
  args: readonly string[] = [],
): Promise<{ code: number | undefined; text: string }> {
  const directory = dirname(dataDirectory)
  const after = join(directory, 'after')
  await cp(join(directory, 'policies'), after, { recursive: true })
  const file = join(after, 'test.yaml')
  await writeFile(file, edit(await readFile(file, 'utf8')))
  let [text, code]: [string, number | undefined] = ['', undefined]
  const io = {
    stdout: (more: string) => void (text += more),
    stderr: (more: string) => void (text += more),
    env: {},
    exit: (status: number) => void (code = status),
  }
  const program = new Command('portcullis').exitOverride()
  registerPolicyReplay(program, io, () => new Date())
  const config = ['-c', join(directory, 'portcullis.yaml')]
  await program.parseAsync(['node', 'portcullis', 'replay', after, ...config, ...args])
  return { code, text }
}

async function pullAll(harness: Harness, targets: readonly string[]): Promise<void> {
  for (const target of targets) {
    // oxlint-disable-next-line no-await-in-loop -- as a client does it
    await harness.get(target)
  }
  // What was counted is written when the proxy ends; it starts again over the same directory.
  await harness.restart()
  await harness.registry.stop()
}

test('who would be refused and who let in, with the registry gone and the proxy running', async () => {
  await using harness = await startHarness()
  const attested = await publishSigned(harness, { repository: 'observed/attested', image: uniqueImage('a') })
  const statement = slsaStatement({ name: 'app', sha256: attested.digest.slice('sha256:'.length) })
  await attestImage(attested, harness.sigstore, { statement, signer: harness.release })
  await publishSigned(harness, { repository: 'observed/signed', image: uniqueImage('b') })
  await publishSigned(harness, { repository: 'observed/index', image: uniqueIndex('c') })
  publish(harness, { repository: 'observed/unsigned', image: uniqueImage('d') })
  publish(harness, { repository: 'enforced/unsigned', image: uniqueImage('e') })
  const names = [
    'observed/attested',
    'observed/signed',
    'observed/index',
    'observed/unsigned',
    'enforced/unsigned',
  ]
  await pullAll(
    harness,
    names.map((name) => `/v2/${name}/manifests/v1`),
  )

  const same = await replay(harness, (text) => text)
  assert.equal(same.code, 0, same.text)
  assert.match(same.text, /^5 images in 5 pulls since /)
  assert.match(same.text, /5 images in 5 pulls: no change/)

  const stricter = await replay(harness, (text) =>
    text.replaceAll('"observe"', '"enforce"').replaceAll('mode: observe', 'mode: enforce'),
  )
  assert.equal(stricter.code, 1, stricter.text)
  assert.match(
    stricter.text,
    /1 images in 1 pulls would be refused, and are not now:\n {2}\S+\/observed\/unsigned@sha256:/,
  )
  assert.match(stricter.text, /watched: .*found no signature at all/)

  const laxer = await replay(harness, (text) =>
    text.replaceAll('"enforce"', '"observe"').replaceAll('mode: enforce', 'mode: observe'),
  )
  assert.equal(laxer.code, 0, laxer.text)
  assert.match(
    laxer.text,
    /1 images in 1 pulls would be served, and are refused or held now:\n {2}\S+\/enforced\/unsigned@sha256:/,
  )

  const json = await replay(harness, (text) => text, ['--json', '--since', '1h'])
  assert.equal(JSON.parse(json.text).counts.same.images, 5)
})

test('a ring that is not there, a directory that is not there, a state that is not there', async () => {
  await using harness = await startHarness()
  const ring = await replay(harness, (text) => text, ['--ring', 'nobody'])
  assert.deepEqual([ring.code, /found no ring "nobody", expected one of default/.test(ring.text)], [3, true])
  const broken = await replay(harness, () => 'kind: Nothing\n')
  assert.equal(broken.code, 3)
  assert.match(broken.text, /test\.yaml/)
})
