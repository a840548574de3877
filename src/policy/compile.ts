import { compileAuthority } from './compile-authority.ts'
import { reportRepeated, type CompileContext } from './compile-context.ts'
import { compileGlobs, compileModes } from './document-parts.ts'
import type { PolicyDocument } from './document.ts'
import type { Glob } from './glob.ts'
import type { Finding, Report } from './problem.ts'
import { compileRequirement } from './requirement.ts'
import { strictestOf } from './ring.ts'
import { stricterStance } from './stance.ts'
import type { Policy } from './types.ts'
import { policyVersion } from './version.ts'

export type CompiledPolicy = { readonly policy: Policy; readonly globs: readonly Glob[] }

/** Turns a well-formed document into a policy, or tells everything that keeps it from meaning something. */
export function compilePolicy(
  document: PolicyDocument,
  context: CompileContext,
): { readonly compiled: CompiledPolicy | undefined; readonly findings: readonly Finding[] } {
  const findings: Finding[] = []
  const report: Report = (path, message) => void findings.push({ path, message })
  const { metadata, spec } = document
  const globs = compileGlobs(spec.images, ['spec', 'images'], report)
  const modes = compileModes(spec.mode ?? context.defaultMode, spec.rings, context.rings, (ring, message) =>
    report(['spec', 'rings', ring], message),
  )
  reportRepeated(spec.authorities, ['spec', 'authorities'], report)
  const authorities = spec.authorities.flatMap(
    (authority, index) => compileAuthority(authority, ['spec', 'authorities', index], context, report) ?? [],
  )
  const named = spec.authorities.map(({ name, static: fixed }) => ({ name, isStatic: fixed !== undefined }))
  const requirement = compileRequirement(spec.require, named, ['spec', 'require'], report)
  if (findings.length > 0) return { compiled: undefined, findings }
  const policy: Policy = {
    name: metadata.name,
    version: policyVersion(authorities, requirement),
    mode: strictestOf(modes),
    modes,
    stance: stricterStance(spec.stance ?? context.defaultStance, context.stanceLimit),
    runbook: spec.runbook,
    ...(spec.verifyBudget === undefined ? {} : { verifyBudgetMs: spec.verifyBudget }),
    rollout: spec.rollout,
    matches: (repositoryName) => globs.some((glob) => glob.matches(repositoryName)),
    authorities,
    requirement,
    origin: context.origin,
  }
  return { compiled: { policy, globs }, findings }
}
