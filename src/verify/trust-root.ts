import { hash } from 'node:crypto'
import { TrustedRoot } from '@sigstore/protobuf-specs'
import { toTrustMaterial, type TrustMaterial } from '@sigstore/verify'
import { Certificate } from './certificate.ts'
import { unenforcedCriticalExtensions } from './extensions.ts'
import { asMaterial } from './pki.ts'
import type { TrustRoot } from './types.ts'

/** The public-good one is 7 KiB. */
const TRUST_ROOT_BYTES_MAX = 1024 * 1024

const MEDIA_TYPE = /^application\/vnd\.dev\.sigstore\.trustedroot(?:\+json;version=0\.[12]|\.v0\.[12]\+json)$/

type Period = { readonly start?: Date | undefined; readonly end?: Date | undefined } | undefined

function isDate(date: Date | undefined): date is Date {
  return date !== undefined && !Number.isNaN(date.getTime())
}

/** @sigstore/verify takes a missing start for "since 1970", which would let a new key vouch for old signatures. */
function periodProblems(where: string, period: Period): readonly string[] {
  if (!isDate(period?.start)) return [`${where}.validFor.start`]
  const { start, end } = period
  if (end === undefined) return []
  return isDate(end) && end >= start ? [] : [`${where}.validFor.end`]
}

type Log = TrustedRoot['tlogs'][number]
type Authority = TrustedRoot['certificateAuthorities'][number]

function logProblems(name: string, logs: readonly Log[]): readonly string[] {
  return logs.flatMap((log, index) => {
    const where = `${name}[${index}]`
    const id = log.checkpointKeyId ?? log.logId
    return [
      ...periodProblems(`${where}.publicKey`, log.publicKey?.validFor),
      ...(log.publicKey?.rawBytes === undefined ? [`${where}.publicKey.rawBytes`] : []),
      ...(log.baseUrl === '' ? [`${where}.baseUrl`] : []),
      ...(id === undefined || id.keyId.length === 0 ? [`${where}.logId`] : []),
    ]
  })
}

function authorityProblems(name: string, authorities: readonly Authority[]): readonly string[] {
  return authorities.flatMap((authority, index) => [
    ...periodProblems(`${name}[${index}]`, authority.validFor),
    ...((authority.certChain?.certificates.length ?? 0) === 0 ? [`${name}[${index}].certChain`] : []),
  ])
}

/** protobuf-specs sigstore_trustroot.proto: what it calls required. */
function problemsOf(root: TrustedRoot): readonly string[] {
  return [
    ...(MEDIA_TYPE.test(root.mediaType) ? [] : ['mediaType']),
    ...logProblems('tlogs', root.tlogs),
    ...logProblems('ctlogs', root.ctlogs),
    ...authorityProblems('certificateAuthorities', root.certificateAuthorities),
    ...authorityProblems('timestampAuthorities', root.timestampAuthorities),
    ...(root.tlogs.length + root.certificateAuthorities.length === 0
      ? ['tlogs and certificateAuthorities are both empty']
      : []),
  ]
}

function cached(
  authorities: TrustMaterial['certificateAuthorities'],
): TrustMaterial['certificateAuthorities'] {
  return authorities.map((authority) => ({
    ...authority,
    certChain: authority.certChain.map((certificate) => new Certificate(certificate.root)),
  }))
}

/** A constraint on an authority that nobody enforces is one that does not hold: RFC 5280 section 4.2. */
function constraintProblems(material: TrustMaterial): readonly string[] {
  return [...material.certificateAuthorities, ...material.timestampAuthorities]
    .flatMap((authority) => authority.certChain)
    .flatMap((certificate) => unenforcedCriticalExtensions(new Certificate(certificate.root)))
    .map((oid) => `a certificate has critical extension ${oid}, which is not enforced here`)
}

/** Each once, whatever chains it is in. */
function authoritiesIn(authorities: TrustMaterial['certificateAuthorities']): readonly Certificate[] {
  const all = authorities.flatMap(({ certChain }) => certChain.map(({ root }) => new Certificate(root)))
  return [...new Map(all.map((certificate) => [certificate.der.toString('base64'), certificate])).values()]
}

function parse(json: string, kind: TrustRoot['kind']): TrustMaterial | { readonly problem: string } {
  const document: unknown = JSON.parse(json)
  if (typeof document !== 'object' || document === null) return { problem: 'not a JSON object' }
  const root = TrustedRoot.fromJSON(document)
  const problems = problemsOf(root)
  if (problems.length > 0) return { problem: `malformed: ${problems.slice(0, 5).join(', ')}` }
  const material = toTrustMaterial(root)
  const constraints = constraintProblems(material)
  if (constraints.length > 0) return { problem: constraints.slice(0, 5).join(', ') }
  return {
    ...material,
    certificateAuthorities:
      kind === 'pki'
        ? asMaterial(authoritiesIn(material.certificateAuthorities))
        : cached(material.certificateAuthorities),
    timestampAuthorities: cached(material.timestampAuthorities),
  }
}

/**
 * Reads a trusted_root.json once, so that what can be computed from it alone is computed once. `problem` says why it
 * cannot be used: every part of it counts, since half a trust root would refuse good images. How its certificates are
 * read and whether it is retiring are no properties of the document: none is retiring.
 */
export function readTrustRoot(
  name: string,
  json: string,
  kind: TrustRoot['kind'] = 'sigstore',
): TrustRoot | { readonly problem: string } {
  if (json.length > TRUST_ROOT_BYTES_MAX) return { problem: 'too large' }
  try {
    const material = parse(json, kind)
    if ('problem' in material) return material
    const version = `sha256:${hash('sha256', kind === 'sigstore' ? json : `${kind} ${json}`, 'hex')}`
    return { name, kind, version, json, material, isRetiring: false }
  } catch (error) {
    return { problem: `malformed: ${error instanceof Error ? error.message : 'unreadable'}` }
  }
}
