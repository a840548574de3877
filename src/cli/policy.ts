import type { Command } from 'commander'
import type { CommandIo } from './io.ts'
import { registerPolicyBundle } from './policy-bundle.ts'
import { registerPolicyCheck } from './policy-check.ts'
import { registerPolicyDiff } from './policy-diff.ts'
import { registerPolicyExplain } from './policy-explain.ts'
import { registerPolicyImport } from './policy-import.ts'
import { registerPolicyReplay } from './policy-replay.ts'
import { registerPolicyTest } from './policy-test.ts'

/** Everything about policies that needs no running proxy. */
export function registerPolicy(program: Command, io: CommandIo, now: () => Date = () => new Date()): void {
  const policy = program
    .command('policy')
    .description('check, test, explain and compare policies')
    .exitOverride()
  registerPolicyCheck(policy, io, now)
  registerPolicyTest(policy, io, now)
  registerPolicyExplain(policy, io)
  registerPolicyDiff(policy, io)
  registerPolicyReplay(policy, io, now)
  registerPolicyBundle(policy, io)
  registerPolicyImport(policy, io)
}
