import { hash } from 'node:crypto'
import { digestParts, matchesDigest, type Digest } from '../oci/digest.ts'
import { EvidenceError, quote } from './evidence-error.ts'
import type { SignedContent } from './evidence.ts'
import { at, isShallow, listAt, parseJson, textAt } from './json.ts'
import { sameBytes } from './signature-scheme.ts'
import {
  PREDICATE_BYTES_KEPT_MAX,
  PREDICATE_DEPTH_KEPT_MAX,
  STATEMENT_VALUES_MAX,
  SUBJECTS_MAX,
} from './limits.ts'
import type { Claim } from './types.ts'

const STATEMENT_TYPES: ReadonlySet<string> = new Set([
  'https://in-toto.io/Statement/v0.1',
  'https://in-toto.io/Statement/v1',
])
const IN_TOTO_PAYLOAD = 'application/vnd.in-toto+json'

/** What cosign 3 signs for an image in place of a simple signing payload. */
const COSIGN_SIGN_PREDICATE = 'https://sigstore.dev/cosign/sign/v1'
const COSIGN_SIGNATURE_TYPE = 'cosign container image signature'

function notOurs(found: string, subject: Digest): EvidenceError {
  return new EvidenceError('subject', `${found}, not of ${subject}`)
}

/** in-toto attestation spec v1, "Statement": the image must be one of the subjects by its own digest algorithm. */
function readStatement(payload: Buffer, subject: Digest): Claim {
  const statement = parseJson(payload, 'statement', STATEMENT_VALUES_MAX)
  const type = textAt(statement, '_type')
  if (type === undefined || !STATEMENT_TYPES.has(type)) {
    throw new EvidenceError('unsupported', `not an in-toto statement: ${quote(type ?? '(no type)')}`)
  }
  const predicateType = textAt(statement, 'predicateType')
  if (predicateType === undefined || predicateType === '') {
    throw new EvidenceError('malformed', 'statement without a predicate type')
  }
  const subjects = listAt(statement, 'subject')
  if (subjects.length > SUBJECTS_MAX) {
    throw new EvidenceError(
      'malformed',
      `statement with ${subjects.length} subjects, at most ${SUBJECTS_MAX} are read`,
    )
  }
  const { algorithm, hex } = digestParts(subject)
  if (!subjects.some((item) => textAt(item, 'digest', algorithm) === hex)) {
    const first = textAt(subjects, 0, 'digest', algorithm)
    const found = first === undefined ? 'something else' : `${algorithm}:${quote(first)}`
    throw notOurs(`statement is of ${found}`, subject)
  }
  if (predicateType === COSIGN_SIGN_PREDICATE) return { kind: 'signature' }
  const predicate = payload.length <= PREDICATE_BYTES_KEPT_MAX ? at(statement, 'predicate') : undefined
  const kept = isShallow(predicate, PREDICATE_DEPTH_KEPT_MAX) ? predicate : undefined
  return { kind: 'attestation', statement: { predicateType, predicate: kept } }
}

/** containers/image docs/containers-signature.5.md: `critical` says what the signature is and of which manifest. */
function readSimpleSigningPayload(bytes: Buffer, subject: Digest): Claim {
  const payload = parseJson(bytes, 'signature payload')
  const type = textAt(payload, 'critical', 'type')
  if (type !== COSIGN_SIGNATURE_TYPE) {
    throw new EvidenceError('unsupported', `signature payload of type ${quote(type ?? '(none)')}`)
  }
  const digest = textAt(payload, 'critical', 'image', 'docker-manifest-digest')
  if (digest !== subject) throw notOurs(`signature is of ${quote(digest ?? 'no manifest')}`, subject)
  return { kind: 'signature' }
}

/** A signer may digest with another algorithm than the subject's; then only the bytes connect the two. */
function namesArtifact(
  { algorithm, digest }: Extract<SignedContent, { kind: 'artifact' }>,
  subject: Digest,
  artifact: Buffer | undefined,
): boolean {
  if (`${algorithm}:${digest.toString('hex')}` === subject) return true
  return (
    artifact !== undefined &&
    matchesDigest(artifact, subject) &&
    sameBytes(digest, hash(algorithm, artifact, 'buffer'))
  )
}

/** What authenticated content says about the subject. Throws EvidenceError: `subject` where it is about another image. */
export function claimOf(content: SignedContent, subject: Digest, artifact: Buffer | undefined): Claim {
  switch (content.kind) {
    case 'artifact': {
      if (!namesArtifact(content, subject, artifact)) {
        throw notOurs(`signature is of ${content.algorithm}:${content.digest.toString('hex')}`, subject)
      }
      return { kind: 'signature' }
    }
    case 'payload':
      return readSimpleSigningPayload(content.payload, subject)
    case 'envelope':
      if (content.payloadType !== IN_TOTO_PAYLOAD) {
        throw new EvidenceError(
          'unsupported',
          `envelope with a payload of type ${quote(content.payloadType)}`,
        )
      }
      return readStatement(content.payload, subject)
  }
}
