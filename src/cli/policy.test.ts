import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { dirname } from 'node:path'
import { describe, it } from 'node:test'
import { ALICE, CONFIG, ISSUER, POLICY, policyStage } from './testing/policy.ts'

const REVOCATION = `apiVersion: portcullis.dev/v1alpha1
kind: Revocation
metadata:
  name: leak
spec:
  mode: enforce
  reason: the key leaked
  deny:
    - identity: { issuer: ${ISSUER}, subject: mallory@acme.example }
      trustRoot: private
`

const { at, put, portcullis } = policyStage()

describe('policy check', () => {
  it('tells what may stay and exits with 0', async () => {
    const { code, stdout } = await portcullis('check')
    assert.equal(code, 0)
    assert.equal(
      stdout,
      'policies/acme.yaml:6: warning ring-ahead: policy acme: ring prod is in mode enforce, and ring canary before it only in mode observe\n' +
        '    what the earlier ring is there to find out is found out in the later one\n' +
        '    to mend it: bring the earlier ring to the same mode first\n' +
        'policies/acme.yaml:6: note ring-behind: policy acme: ring default is still in mode observe, and ring prod before it in mode enforce\n' +
        '    the rollout is under way, or was forgotten\n' +
        '    to mend it: see portcullis rollout status, and promote the ring when its criteria hold\n' +
        '1 policy, 0 revocations: 0 errors, 1 warning, 1 note\n',
    )
  })

  it('exits with 1 for warnings only under --strict', async () => {
    assert.equal((await portcullis('check', '--strict')).code, 1)
    const clean = await put('clean/a.yaml', POLICY.replace('  rings: { prod: enforce }\n', ''))
    assert.equal((await portcullis('check', dirname(clean), '--strict')).code, 0)
  })

  it('exits with 3 for what cannot be meant, at its line, also as JSON', async () => {
    const pem = generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' }).toString()
    await put('same/keys/ops.pub', pem)
    const authorities = ['a', 'b']
      .map((name) => `    - { name: ${name}, key: { file: keys/ops.pub } }\n`)
      .join('')
    const head = POLICY.slice(0, POLICY.indexOf('    - name: people'))
    await put('same/acme.yaml', `${head}${authorities}  require: { threshold: 2 }\n`)
    const { code, stdout } = await portcullis('check', at('same'), '--json')
    assert.equal(code, 3)
    const { findings, policies } = JSON.parse(stdout)
    assert.equal(policies, 1)
    assert.deepEqual(
      [findings[0].severity, findings[0].code, findings[0].place, findings[0].policy],
      ['error', 'same-signer', 'same/acme.yaml:15', 'acme'],
    )
  })

  it('exits with 3 and every problem where policies do not load', async () => {
    await put(
      'broken/a.yaml',
      POLICY.replace('mode: observe', 'mode: watch').replace('glob: ghcr.io/acme/**', 'globb: x'),
    )
    const { code, stderr, stdout } = await portcullis('check', at('broken'))
    assert.deepEqual([code, stdout], [3, ''])
    assert.match(stderr, /^portcullis: broken\/a\.yaml:6: spec\.mode: found "watch"/m)
    assert.match(stderr, /^portcullis: broken\/a\.yaml:11: .*globb: unknown key, did you mean glob\?/m)
  })

  it('warns of a key set that has ended', async () => {
    const pem = generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' }).toString()
    await put('old.pub', pem)
    const keySet = `    old: { kind: keys, keys: [{ path: old.pub, validUntil: 2026-05-01 }] }\n`
    const config = await put('keys.yaml', CONFIG.replace('policies:', `${keySet}policies:`))
    await put(
      'set/a.yaml',
      POLICY.replace(
        'kms: awskms:///alias/release',
        'keySet: old, trustRoot: private'.replace(', ', '\n        '),
      ),
    )
    const { stdout } = await portcullis('check', at('set'), '-c', config)
    assert.match(
      stdout,
      /warning expired-key: policy acme: key sha256:[0-9a-f]{16} of authority hsm counts no longer since 2026-05-01/,
    )
  })
})

describe('policy explain --offline', () => {
  it('says by which glob, in which mode and stance, what is needed and on what that rests', async () => {
    const { code, stdout } = await portcullis('explain', 'ghcr.io/acme/app:v1', '--offline', '--ring', 'prod')
    assert.equal(code, 0)
    assert.equal(
      stdout,
      `ghcr.io/acme/app, ring prod

policy acme (policies/acme.yaml:4), by ghcr.io/acme/**
  mode enforce: refuses (observe; in ring prod enforce)
  needs either a signature by ${ALICE} (issuer ${ISSUER}) of trust root private [people] or a signature with key awskms:///alias/release [hsm]
  rests on people: trust root private for who signed and when (file trusted_root.json)
  rests on hsm: key awskms:///alias/release
  stance closed: what cannot be judged now is held
  runbook https://wiki.example/acme
`,
    )
  })

  it('tells the budget for the verdict, where there is one', async () => {
    await put('budget/acme.yaml', POLICY.replace('  runbook:', '  verifyBudget: 800ms\n  runbook:'))
    const asked = ['explain', 'ghcr.io/acme/app', '--offline', '--policies', at('budget')]
    assert.match(
      (await portcullis(...asked)).stdout,
      /^ {2}budget 800 milliseconds: a pull waits no longer for the verdict, and then the stance decides$/m,
    )
    assert.equal(JSON.parse((await portcullis(...asked, '--json')).stdout).policies[0].verifyBudgetMs, 800)
  })

  it('tells revocations, and images that no policy is about', async () => {
    await put('revoked/leak.yaml', REVOCATION)
    const { stdout } = await portcullis('explain', 'nginx', '--offline', '--policies', at('revoked'))
    assert.equal(
      stdout,
      `docker.io/library/nginx, ring default

no policy is about it: the rule for images without a policy refuses (unmatched: enforce)

revocation leak (revoked/leak.yaml:4), by **
  mode enforce: refuses
  never accepts whatever is signed by mallory@acme.example (issuer ${ISSUER}) of trust root private
  because the key leaked
`,
    )
  })

  it('is a usage error without an image name or with a ring that is not there', async () => {
    assert.equal((await portcullis('explain', 'UPPER', '--offline')).code, 3)
    const { code, stderr } = await portcullis('explain', 'nginx', '--offline', '--ring', 'prd')
    assert.deepEqual(
      [code, stderr],
      [3, 'portcullis: prd is no ring of the configuration; expected one of canary, prod, default\n'],
    )
  })
})

describe('policy diff', () => {
  it('0 where nothing differs, 1 with what does, 3 where one does not load', async () => {
    const a = at('policies')
    const b = dirname(
      await put('after/acme.yaml', POLICY.replace('{ prod: enforce }', '{ prod: enforce, canary: enforce }')),
    )
    assert.deepEqual(await portcullis('diff', a, a), { code: 0, stdout: 'no difference\n', stderr: '' })
    assert.deepEqual(await portcullis('diff', a, b), {
      code: 1,
      stdout:
        'acme: ring canary goes from observe to enforce (stricter)\n1 stricter, 0 laxer, 0 just different\n',
      stderr: '',
    })
    const json = JSON.parse((await portcullis('diff', b, a, '--json')).stdout)
    assert.deepEqual([json.stricter, json.laxer, json.changes[0].direction], [0, 1, 'laxer'])
    assert.equal((await portcullis('diff', a, at('nowhere'))).code, 3)
  })
})
