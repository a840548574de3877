import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { loadConfig } from '../../src/config/load.ts'
import { loadPolicyDirectory, type PolicyRules } from '../../src/config/policy-files.ts'
import { checkedAsync, type Part } from './part.ts'

const CONFIG = fileURLToPath(new URL('../../config/default.yaml', import.meta.url))
const POLICIES = fileURLToPath(new URL('../../config/policies/', import.meta.url))

/** What the start waits for. */
export function configurationParts(): readonly Part[] {
  const rules: PolicyRules = {
    policies: {
      directory: POLICIES,
      defaultMode: 'observe',
      unmatched: 'observe',
      defaultStance: 'closed',
      stanceLimit: undefined,
    },
    rings: [],
    trust: { roots: new Map([['public-good', { kind: 'tuf' }]]) },
  }
  return [
    {
      name: 'config/default',
      open: async () =>
        await checkedAsync(
          async () => await loadConfig({ path: CONFIG, env: {}, readFile: (path) => readFile(path, 'utf8') }),
          ({ ok }) => assert.ok(ok),
        ),
    },
    {
      name: 'config/policies',
      open: async () =>
        await checkedAsync(
          async () => await loadPolicyDirectory(rules),
          (load) => assert.ok(load.ok && load.set.policies.length > 0),
        ),
    },
  ]
}
