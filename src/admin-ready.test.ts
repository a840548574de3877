import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { createAdminApp, type AdminDeps } from './admin.ts'

type Counts = { readonly serving: readonly [number, number]; readonly cold: readonly [number, number] }

async function ready(counts: Counts | undefined): Promise<readonly [number, string]> {
  const standing =
    ([listening, count]: readonly [number, number]) =>
    () => ({ listening, count })
  const workers =
    counts === undefined
      ? {}
      : { workers: { serving: standing(counts.serving), cold: standing(counts.cold) } }
  const deps = {
    readiness: { draining: false, ...workers },
    trust: { status: () => [] },
    policies: {},
    names: new Set(),
    drill: {},
    explain: {},
    rollout: {},
  } as unknown as AdminDeps
  const response = await createAdminApp(deps).request('/readyz')
  return [response.status, await response.text()]
}

describe('/readyz', () => {
  const cases = [
    { what: 'one process', counts: undefined, expected: [200, 'ready\n'] },
    { what: 'all workers', counts: { serving: [2, 2], cold: [0, 0] }, expected: [200, 'ready\n'] },
    {
      what: 'a worker is missing',
      counts: { serving: [1, 2], cold: [1, 1] },
      expected: [200, 'ready\n1 of 2 workers listen\n'],
    },
    {
      what: 'a cold worker is missing, and the others do its work',
      counts: { serving: [1, 1], cold: [0, 1] },
      expected: [200, 'ready\n0 of 1 cold workers listen\n'],
    },
    {
      what: 'only a cold worker is left',
      counts: { serving: [0, 1], cold: [1, 1] },
      expected: [503, 'no worker listens\n'],
    },
  ] as const
  for (const { what, counts, expected } of cases)
    test(what, async () => assert.deepEqual(await ready(counts), expected))
})
