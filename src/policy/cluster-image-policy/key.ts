import { readPublicKey } from '../../verify/public-key.ts'
import { parseKmsReference } from '../kms-reference.ts'
import { note, quoted, refuse, sectionOf, textOf, type FieldRules, type Section } from './remarks.ts'

/** `key` of one authority, as an ImagePolicy document says it; where it is logged is added by log.ts. */
export type KeyInput = { data?: string; kms?: string; hashAlgorithm?: HashAlgorithm }

type HashAlgorithm = 'sha256' | 'sha384' | 'sha512'

const FIELDS: FieldRules = {
  data: 'converted',
  kms: 'converted',
  hashAlgorithm: 'converted',
  secretRef: 'converted',
}

const SECRET = [
  'found a Kubernetes secret, which cannot be read here',
  'write its public key as data, or in an ImagePolicy as key.file (kubectl -n cosign-system get secret NAME -o yaml; the value is base64)',
] as const

/** Undefined where something is refused. */
export function convertKey(authority: Section): KeyInput | undefined {
  const section = sectionOf(authority, 'key', FIELDS)
  if (section === undefined) return undefined
  const { path, remarks } = section
  const data = textOf(section, 'data')
  const kms = textOf(section, 'kms')
  if (section.fields.has('secretRef')) return refuse(remarks, [...path, 'secretRef'], ...SECRET)
  if ((data === undefined) === (kms === undefined)) {
    return refuse(
      remarks,
      path,
      `found ${data === undefined ? 'neither' : 'both'} of data and kms`,
      'write one of them',
    )
  }
  const hashAlgorithm = hashOf(section)
  if (hashAlgorithm === undefined) return undefined
  return data === undefined ? convertKms(section, kms ?? '') : convertPem(section, data, hashAlgorithm)
}

/** policy-controller hashes with SHA-256 whatever the key, unless it is told otherwise. */
function hashOf(section: Section): HashAlgorithm | undefined {
  const written = textOf(section, 'hashAlgorithm') ?? 'sha256'
  const name = written.trim().toLowerCase()
  if (name === 'sha256' || name === 'sha384' || name === 'sha512') return name
  const why = name === 'sha224' ? 'which is too short to be accepted here' : 'which is none'
  const at = [...section.path, 'hashAlgorithm']
  return refuse(section.remarks, at, `found ${quoted(written)}, ${why}`, 'sign with sha256, sha384 or sha512')
}

function convertKms(section: Section, kms: string): KeyInput | undefined {
  const { path, remarks } = section
  const parsed = parseKmsReference(kms)
  if (!parsed.ok) return refuse(remarks, [...path, 'kms'], parsed.message)
  if (!parsed.reference.keyId.startsWith('arn:')) {
    const reason = `found ${quoted(kms)}, which policy-controller does not admit: it takes ARNs only`
    return refuse(
      remarks,
      [...path, 'kms'],
      reason,
      'write the ARN of the key or alias; an ImagePolicy also takes the short form',
    )
  }
  if (section.fields.has('hashAlgorithm')) {
    note(
      remarks,
      [...path, 'hashAlgorithm'],
      'hashAlgorithm is not converted: a key of AWS KMS says itself how it signs',
    )
  }
  return { kms }
}

function convertPem(section: Section, data: string, hashAlgorithm: HashAlgorithm): KeyInput | undefined {
  const key = readPublicKey(data)
  if ('problem' in key) return refuse(section.remarks, [...section.path, 'data'], key.problem)
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key.key
  if (type === 'ed25519') {
    if (section.fields.has('hashAlgorithm')) {
      note(
        section.remarks,
        [...section.path, 'hashAlgorithm'],
        'hashAlgorithm is not converted: Ed25519 fixes its own',
      )
    }
    return { data }
  }
  const isDefault = hashAlgorithm === 'sha256' && (type === 'rsa' || details?.namedCurve === 'prime256v1')
  return isDefault ? { data } : { data, hashAlgorithm }
}
