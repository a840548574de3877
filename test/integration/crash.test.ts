import assert from 'node:assert/strict'
import { test } from 'node:test'
import { runCampaign } from '../../load-tests/crash/campaign.ts'

/** `node load-tests/crash/run.ts` is the long form, with other seeds. */
const TIMES = 8

test('killed with SIGKILL under load and while starting: no record is lost, no wrong byte leaves, every start is clean', async () => {
  const summary = await runCampaign({ times: TIMES, seed: 20_261_122 })
  assert.deepEqual(summary.violations, [])
  assert.ok(summary.kills >= TIMES)
  for (const seen of ['answers', 'decisions', 'served', 'blobs'] as const)
    assert.ok(summary[seen] > 0, `there were ${seen}`)
})
