import { parseKmsReference } from '../../policy/kms-reference.ts'
import { quoted, refuse, type Section } from '../../policy/cluster-image-policy/remarks.ts'
import { readPublicKey } from '../../verify/public-key.ts'

export type KeyInput = { readonly data: string; readonly hashAlgorithm?: string } | { readonly kms: string }

/** The keys of one text, each by itself; a text that has none is its own only part. */
export function splitPems(text: string): readonly string[] {
  return text.match(/-----BEGIN [A-Z ]+-----[^-]+-----END [A-Z ]+-----/g)?.map((pem) => `${pem}\n`) ?? [text]
}

/** Kyverno hashes with SHA-256 unless it is told otherwise. Undefined where something is refused. */
export function keyInput(
  source: { readonly data: string } | { readonly kms: string },
  algorithm: string,
  { path, remarks }: Section,
): KeyInput | undefined {
  if ('kms' in source) {
    const parsed = parseKmsReference(source.kms)
    return parsed.ok ? source : refuse(remarks, path, parsed.message)
  }
  if (source.data.includes('{{'))
    return refuse(remarks, path, 'found a variable in place of a key', 'write the key')
  if (!['sha256', 'sha384', 'sha512'].includes(algorithm)) {
    return refuse(
      remarks,
      path,
      `found signatureAlgorithm ${quoted(algorithm)}`,
      'sign with sha256, sha384 or sha512',
    )
  }
  const key = readPublicKey(source.data)
  if ('problem' in key) return refuse(remarks, path, key.problem)
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key.key
  const isDefault = algorithm === 'sha256' && (type === 'rsa' || details?.namedCurve === 'prime256v1')
  return isDefault || type === 'ed25519' ? source : { ...source, hashAlgorithm: algorithm }
}
