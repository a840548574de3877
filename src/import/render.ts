import { stringify } from 'yaml'
import type { ImagePolicyInput } from '../policy/cluster-image-policy/cluster-image-policy.ts'

const WIDTH = 0

/** The document with the remarks above it as comments. */
export function policyYaml(policy: ImagePolicyInput, remarks: readonly string[]): string {
  return `${comments(remarks)}${yaml(policy)}`
}

/** A part of the configuration. */
export function yaml(value: unknown): string {
  return stringify(value, { lineWidth: WIDTH, aliasDuplicateObjects: false })
}

/** One line each: what comes from a document may hold line breaks, and must not become part of the policy. */
export function comments(lines: readonly string[]): string {
  return lines.map((line) => `# ${plain(line)}\n`).join('')
}

/** Part of what is shown comes from outside: no control character may reach a terminal. */
function plain(text: string): string {
  return text.replaceAll(/[^\x20-\x7e\u00a0-\u2027\u202a-\uffff]/g, '?')
}
