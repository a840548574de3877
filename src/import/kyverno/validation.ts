/** The validations of an ImageValidatingPolicy that say nothing but who must have signed, or what an attestation says. */
export type Validation =
  | { readonly kind: 'signature'; readonly attestors: readonly string[]; readonly needed: number }
  | {
      readonly kind: 'attestation'
      readonly attestation: string
      readonly attestors: readonly string[]
      readonly needed: number
    }
  | { readonly kind: 'payload'; readonly attestation: string; readonly expression: string }

const NAMES = String.raw`\[\s*(?<attestors>attestors\.\w+(?:\s*,\s*attestors\.\w+)*)\s*\]`
const COUNT = String.raw`\.all\(\s*(?<e>\w+)\s*,\s*\k<e>\s*(?<sign>>=?|==)\s*(?<number>[0-9]{1,3})\s*\)`
const EACH = String.raw`^images\.\w+\.map\(\s*(?<i>\w+)\s*,\s*`
const SIGNATURE = new RegExp(
  String.raw`${EACH}verifyImageSignatures\(\s*\k<i>\s*,\s*${NAMES}\s*\)\s*\)${COUNT}$`,
)
const ATTESTATION = new RegExp(
  String.raw`${EACH}verifyAttestationSignatures\(\s*\k<i>\s*,\s*attestations\.(?<attestation>\w+)\s*,\s*${NAMES}\s*\)\s*\)${COUNT}$`,
)
const PAYLOAD = new RegExp(String.raw`${EACH}(?<body>.*)\)\.all\(\s*(?<e>\w+)\s*,\s*\k<e>\s*\)$`, 's')
/** What an expression of ours does not have. */
const OF_THE_CLUSTER =
  /\b(?:images?|attestors|attestations|variables|object|oldObject|request|resource|namespaceObject|http|globalContext|exceptions|extractPayload|verify\w+)\b/

const EXPRESSION_CHARACTERS_MAX = 4096

/** Undefined where it says more, or says it otherwise. */
export function readValidation(text: string): Validation | undefined {
  const expression = text.trim()
  if (expression.length > EXPRESSION_CHARACTERS_MAX) return undefined
  const groups = (SIGNATURE.exec(expression) ?? ATTESTATION.exec(expression))?.groups
  if (groups === undefined) return readPayload(expression)
  const attestors = (groups['attestors'] ?? '')
    .split(',')
    .map((name) => name.trim().slice('attestors.'.length))
  const needed = Number(groups['number']) + (groups['sign'] === '>' ? 1 : 0)
  // An exact count below all of them is a maximum, too.
  const isMinimum = groups['sign'] !== '==' || needed === attestors.length
  if (!isMinimum || needed < 1 || needed > attestors.length) return undefined
  const { attestation } = groups
  if (attestation === undefined) return { kind: 'signature', attestors, needed }
  return { kind: 'attestation', attestation, attestors, needed }
}

function readPayload(expression: string): Validation | undefined {
  const { i, body } = PAYLOAD.exec(expression)?.groups ?? {}
  if (i === undefined || body === undefined) return undefined
  const calls = [...body.matchAll(/extractPayload\(\s*(\w+)\s*,\s*attestations\.(\w+)\s*\)/g)]
  const [attestation, ...others] = new Set(calls.map(([, , name]) => name))
  if (attestation === undefined || others.length > 0 || calls.some(([, image]) => image !== i))
    return undefined
  const own = calls.reduce((text, [call]) => text.replace(call, 'statement'), body).trim()
  if (OF_THE_CLUSTER.test(own) || new RegExp(`\\b${i}\\b`).test(own)) return undefined
  return { kind: 'payload', attestation, expression: own }
}
