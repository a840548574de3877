import {
  flagOf,
  quoted,
  refuse,
  sectionOf,
  textOf,
  type FieldRules,
  type Section,
} from '../../policy/cluster-image-policy/remarks.ts'
import { convertIdentity } from './identity.ts'
import { PUBLIC_GOOD } from '../imported.ts'
import { keyInput, splitPems } from './key-text.ts'

/** What an authority has beside its name and attestations. */
export type SignerInput = { readonly key: object } | { readonly keyless: object }

const ROOTS: readonly [string, string] = [
  'found certificates or keys of an own Sigstore instance; here those are a trust root',
  'name the instance under trust.roots (kind: pinned), drop them here, and run the import with --trust-root NAME',
]
const SECRET: readonly [string, string] = [
  'found a Kubernetes secret, which cannot be read here',
  'write its public key as publicKeys',
]

const KEYS: FieldRules = {
  publicKeys: 'converted',
  kms: 'converted',
  secret: 'converted',
  signatureAlgorithm: 'converted',
  rekor: 'converted',
  ctlog: 'converted',
}
const KEYLESS: FieldRules = {
  issuer: 'converted',
  issuerRegExp: 'converted',
  subject: 'converted',
  subjectRegExp: 'converted',
  additionalExtensions: 'converted',
  rekor: 'converted',
  ctlog: 'converted',
  roots: { refuse: ROOTS },
}
const REKOR: FieldRules = { url: 'converted', ignoreTlog: 'converted', pubkey: { refuse: ROOTS } }
const CTLOG: FieldRules = {
  ignoreSCT: 'converted',
  pubkey: { refuse: ROOTS },
  tsaCertChain: { refuse: ROOTS },
}

/** One for every key: several keys in one text are several entries. Empty where something is refused. */
export function convertKeys(entry: Section, trustRoot: string | undefined): readonly SignerInput[] {
  const section = sectionOf(entry, 'keys', KEYS)
  if (section === undefined) return []
  const algorithm = textOf(section, 'signatureAlgorithm') ?? textOf(entry, 'signatureAlgorithm') ?? 'sha256'
  const log = readRekor(section, trustRoot)
    ? { transparencyLog: 'required', trustRoot: trustRoot ?? PUBLIC_GOOD }
    : {}
  // Certificates are of no account where a key signs, so neither is the log that they are in.
  sectionOf(section, 'ctlog', CTLOG)
  return sourcesOf(section).flatMap((source) => {
    const key = keyInput(source, algorithm, section)
    return key === undefined ? [] : [{ key: { ...key, ...log } }]
  })
}

/** A reference to a KMS may also stand in place of the keys. */
function sourcesOf(section: Section): readonly ({ readonly data: string } | { readonly kms: string })[] {
  if (section.fields.has('secret')) {
    return refuse(section.remarks, [...section.path, 'secret'], ...SECRET) ?? []
  }
  const kms = textOf(section, 'kms')
  const text = textOf(section, 'publicKeys')
  if ((kms === undefined) === (text === undefined)) {
    const found = kms === undefined ? 'neither' : 'both'
    return (
      refuse(section.remarks, section.path, `found ${found} of publicKeys and kms`, 'write one of them') ?? []
    )
  }
  if (text === undefined) return [{ kms: kms ?? '' }]
  if (/^[a-z0-9]+:\/\//.test(text)) return [{ kms: text.trim() }]
  return splitPems(text).map((data) => ({ data }))
}

/** Undefined where something is refused. */
export function convertKeyless(entry: Section, trustRoot: string | undefined): SignerInput | undefined {
  const section = sectionOf(entry, 'keyless', KEYLESS)
  if (section === undefined) return undefined
  const { path, remarks } = section
  const before = remarks.refusals.length
  if (!readRekor(section, trustRoot)) {
    const reason = 'found ignoreTlog: true; here a keyless signature needs a log entry'
    refuse(remarks, [...path, 'rekor', 'ignoreTlog'], reason, 'drop it')
  }
  const ctlog = sectionOf(section, 'ctlog', CTLOG)
  if (ctlog !== undefined && flagOf(ctlog, 'ignoreSCT') === true) {
    const reason =
      'found ignoreSCT: true; here a certificate needs the promise of a certificate transparency log'
    refuse(
      remarks,
      [...ctlog.path, 'ignoreSCT'],
      reason,
      'drop it: certificates of the public instance have one',
    )
  }
  const identities = convertIdentity(section)
  if (identities === undefined || remarks.refusals.length > before) return undefined
  return { keyless: { trustRoot: trustRoot ?? PUBLIC_GOOD, ...identities } }
}

/** Whether a log entry is asked for: it is unless that is turned off, and the log is the public one unless another is named. */
function readRekor(section: Section, trustRoot: string | undefined): boolean {
  const rekor = sectionOf(section, 'rekor', REKOR)
  if (rekor === undefined) return true
  const url = textOf(rekor, 'url')
  const isPublic = url === undefined || URL.parse(url)?.hostname === 'rekor.sigstore.dev'
  const isIgnored = flagOf(rekor, 'ignoreTlog') === true
  if (!isPublic && !isIgnored && trustRoot === undefined) {
    refuse(
      rekor.remarks,
      [...rekor.path, 'url'],
      `found the log ${quoted(url)}, which is not of the public instance`,
      ROOTS[1],
    )
  }
  return !isIgnored
}
