import type { LintFinding, LintInput, LintPolicy, Remark, Severity } from './lint-finding.ts'
import { lintContent, lintModes, lintOverlaps } from './lint-reach.ts'
import { lintRequirement } from './lint-requirement.ts'
import { lintSigner } from './lint-signers.ts'

const SEVERITIES: readonly Severity[] = ['error', 'warning', 'note']

/** What is allowed to be written and is probably not meant, or weaker than it looks; the worst first. */
export function lint({ policies, revocations, rings, now }: LintInput): readonly LintFinding[] {
  const overlaps = lintOverlaps(policies)
  const findings = policies.flatMap((subject) => {
    const { policy } = subject
    const remarks = [
      ...policy.authorities.flatMap((authority, index) =>
        lintSigner(authority, ['spec', 'authorities', index], now),
      ),
      ...lintRequirement(subject, revocations),
      ...lintContent(policy),
      ...lintModes(policy, rings),
      ...(overlaps.get(subject) ?? []),
    ]
    return remarks.map((remark) => placed(remark, subject))
  })
  return findings.toSorted((a, b) => SEVERITIES.indexOf(a.severity) - SEVERITIES.indexOf(b.severity))
}

function placed({ path, ...remark }: Remark, subject: LintPolicy): LintFinding {
  return { ...remark, policy: subject.policy.name, place: subject.placeOf(path) }
}
