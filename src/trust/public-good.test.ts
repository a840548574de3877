import assert from 'node:assert/strict'
import { test } from 'node:test'
import { loadPublicGoodRoot, loadStagingRoot } from './public-good.ts'

test('the staging instance has authorities and logs of its own', () => {
  const [staging, publicGood] = [loadStagingRoot(), loadPublicGoodRoot()]
  assert.match(staging.json, /rekor\.sigstage\.dev/)
  assert.doesNotMatch(staging.json, /rekor\.sigstore\.dev/)
  assert.match(publicGood.json, /rekor\.sigstore\.dev/)
  const { tlogs, certificateAuthorities, ctlogs } = staging.material
  assert.ok(tlogs.length > 0 && certificateAuthorities.length > 0 && ctlogs.length > 0)
})
