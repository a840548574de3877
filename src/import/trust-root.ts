import { createPublicKey, hash, X509Certificate, type KeyObject } from 'node:crypto'
import { policyName } from '../policy/cluster-image-policy/cluster-image-policy.ts'
import {
  listOf,
  newRemarks,
  note,
  quoted,
  readSection,
  refuse,
  sectionOf,
  sectionsOf,
  textOf,
  type FieldRules,
  type Section,
} from '../policy/cluster-image-policy/remarks.ts'
import { readTrustRoot } from '../verify/trust-root.ts'
import { imported, type Import } from './imported.ts'

/** policy-controller's TrustRoot as an entry of `trust.roots`, with the file that the entry names. */

const DOCUMENT: FieldRules = {
  apiVersion: 'converted',
  kind: 'converted',
  metadata: 'converted',
  spec: 'converted',
  status: { note: 'what the API server keeps about an object is dropped' },
}
const SPEC: FieldRules = {
  remote: 'converted',
  sigstoreKeys: 'converted',
  repository: {
    refuse: [
      'found a whole TUF repository in the document, which would never be renewed',
      'serve the directory and name it with kind: tuf, or take trusted_root.json out of its targets and name it with kind: pinned (base64 -d | tar xz)',
    ],
  },
}
const REMOTE: FieldRules = {
  root: 'converted',
  mirror: 'converted',
  targets: 'converted',
  trustedRootTarget: 'converted',
}
const KEYS: FieldRules = {
  certificateAuthorities: 'converted',
  tLogs: 'converted',
  ctLogs: 'converted',
  timestampAuthorities: 'converted',
}
const AUTHORITY: FieldRules = { subject: 'converted', uri: 'converted', certChain: 'converted' }
const SUBJECT: FieldRules = { organization: 'converted', commonName: 'converted' }
const LOG: FieldRules = { baseURL: 'converted', hashAlgorithm: 'converted', publicKey: 'converted' }

const ROOT_NAME = /^[a-z0-9][a-z0-9-]{0,62}$/
/** No document says when its keys begin to count; the oldest public log is of 2020. */
const LOG_KEYS_SINCE = '1970-01-01T00:00:00Z'

export function importTrustRoot(value: unknown): Import {
  const remarks = newRemarks()
  const document = readSection(value, [], DOCUMENT, remarks)
  const name = document === undefined ? undefined : rootName(document)
  const spec = document === undefined ? undefined : sectionOf(document, 'spec', SPEC)
  if (spec === undefined || name === undefined) return imported(remarks, {})
  const kinds = ['remote', 'repository', 'sigstoreKeys'].filter((kind) => spec.fields.has(kind))
  const remote = sectionOf(spec, 'remote', REMOTE)
  const keys = sectionOf(spec, 'sigstoreKeys', KEYS)
  if (kinds.length !== 1 && remarks.refusals.length === 0) {
    refuse(
      remarks,
      spec.path,
      `found ${kinds.length} of remote, repository and sigstoreKeys`,
      'write exactly one',
    )
  }
  if (remote !== undefined) return importRemote(remote, name)
  return keys === undefined ? imported(remarks, {}) : importKeys(keys, name)
}

function rootName(document: Section): string | undefined {
  const name = policyName(document)
  if (name === undefined || ROOT_NAME.test(name)) return name
  const reason = `found ${quoted(name)}, which no trust root can be called here`
  return refuse(document.remarks, ['metadata', 'name'], reason, 'write lower case letters, digits and dashes')
}

function importRemote(remote: Section, name: string): Import {
  const { path, remarks } = remote
  const mirror = textOf(remote, 'mirror') ?? ''
  if (URL.parse(mirror)?.protocol.startsWith('http') !== true) {
    refuse(
      remarks,
      [...path, 'mirror'],
      `found ${quoted(mirror)}`,
      'write the http or https URL of the repository',
    )
  }
  const targets = textOf(remote, 'targets') ?? 'targets'
  if (targets !== 'targets') {
    refuse(
      remarks,
      [...path, 'targets'],
      `found ${quoted(targets)}; here targets are under targets/`,
      'serve them there',
    )
  }
  const text = decoded(remote, 'root')
  if (text !== undefined && !isJson(text)) {
    refuse(remarks, [...path, 'root'], 'found no TUF root', 'write the base64 of root.json')
  }
  const target = textOf(remote, 'trustedRootTarget')
  const file = `${name}.root.json`
  const root = { kind: 'tuf', url: mirror, root: file, ...(target === undefined ? {} : { target }) }
  const files = [{ path: file, text: text ?? '' }]
  return imported(remarks, { configuration: [{ trust: { roots: { [name]: root } } }], files })
}

function importKeys(keys: Section, name: string): Import {
  const { remarks, path } = keys
  const root = {
    mediaType: 'application/vnd.dev.sigstore.trustedroot+json;version=0.1',
    tlogs: sectionsOf(keys, 'tLogs', LOG).map(convertLog),
    certificateAuthorities: sectionsOf(keys, 'certificateAuthorities', AUTHORITY).map(convertAuthority),
    ctlogs: sectionsOf(keys, 'ctLogs', LOG).map(convertLog),
    timestampAuthorities: sectionsOf(keys, 'timestampAuthorities', AUTHORITY).map(convertAuthority),
  }
  if (listOf(keys, 'certificateAuthorities').length > 0 && listOf(keys, 'ctLogs').length === 0) {
    const reason =
      'found certificate authorities without ctLogs; here a certificate always needs the promise of such a log'
    refuse(remarks, [...path, 'ctLogs'], reason, 'write the certificate transparency log of the instance')
  }
  const text = `${JSON.stringify(root, undefined, 2)}\n`
  const read = remarks.refusals.length > 0 ? undefined : readTrustRoot(name, text)
  if (read !== undefined && 'problem' in read) refuse(remarks, path, read.problem)
  const message =
    'the document says no times: certificates count while they are valid, log keys always. Write the times into the file when a key is replaced'
  note(remarks, path, message)
  const file = `${name}.trusted_root.json`
  const configuration = [{ trust: { roots: { [name]: { kind: 'pinned', path: file } } } }]
  return imported(remarks, { configuration, files: [{ path: file, text }] })
}

function convertLog(log: Section): unknown {
  const algorithm = (textOf(log, 'hashAlgorithm') ?? '').toLowerCase().replace('-', '')
  if (algorithm !== 'sha256') {
    refuse(
      log.remarks,
      [...log.path, 'hashAlgorithm'],
      `found ${quoted(algorithm)}`,
      'logs are read that hash with sha-256',
    )
  }
  const key = readKey(log)
  if (key === undefined) return undefined
  const der = key.export({ type: 'spki', format: 'der' })
  return {
    baseUrl: textOf(log, 'baseURL') ?? '',
    hashAlgorithm: 'SHA2_256',
    publicKey: {
      rawBytes: der.toString('base64'),
      keyDetails: keyDetailsOf(key, log),
      validFor: { start: LOG_KEYS_SINCE },
    },
    // RFC 6962 section 3.2.
    logId: { keyId: hash('sha256', der, 'base64') },
  }
}

function readKey(log: Section): KeyObject | undefined {
  const pem = decoded(log, 'publicKey')
  if (pem === undefined) return undefined
  try {
    return createPublicKey(pem)
  } catch {
    return refuse(
      log.remarks,
      [...log.path, 'publicKey'],
      'found no public key',
      'write the base64 of its PEM',
    )
  }
}

/** protobuf-specs PublicKeyDetails. */
function keyDetailsOf(key: KeyObject, log: Section): string | undefined {
  const { namedCurve, modulusLength } = key.asymmetricKeyDetails ?? {}
  const details = new Map([
    ['prime256v1', 'PKIX_ECDSA_P256_SHA_256'],
    ['secp384r1', 'PKIX_ECDSA_P384_SHA_384'],
    ['ed25519', 'PKIX_ED25519'],
    ['2048', 'PKIX_RSA_PKCS1V15_2048_SHA256'],
    ['3072', 'PKIX_RSA_PKCS1V15_3072_SHA256'],
    ['4096', 'PKIX_RSA_PKCS1V15_4096_SHA256'],
  ]).get(namedCurve ?? String(modulusLength ?? key.asymmetricKeyType))
  if (details !== undefined) return details
  return refuse(
    log.remarks,
    [...log.path, 'publicKey'],
    'found a key of a type that no log here has',
    'P-256 is usual',
  )
}

function convertAuthority(authority: Section): unknown {
  const subject = sectionOf(authority, 'subject', SUBJECT)
  const chain = readChain(authority)
  if (subject === undefined || chain === undefined) return undefined
  const times = chain.map(
    ({ validFromDate, validToDate }) => [validFromDate.getTime(), validToDate.getTime()] as const,
  )
  const start = new Date(Math.max(...times.map(([from]) => from)))
  const end = new Date(Math.min(...times.map(([, to]) => to)))
  return {
    subject: {
      organization: textOf(subject, 'organization') ?? '',
      commonName: textOf(subject, 'commonName') ?? '',
    },
    uri: textOf(authority, 'uri') ?? '',
    certChain: { certificates: chain.map(({ raw }) => ({ rawBytes: raw.toString('base64') })) },
    validFor: { start: start.toISOString(), end: end.toISOString() },
  }
}

function readChain(authority: Section): readonly X509Certificate[] | undefined {
  const pem = decoded(authority, 'certChain')
  if (pem === undefined) return undefined
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  const at = [...authority.path, 'certChain']
  const instead = 'write the base64 of the PEM certificates, the root last'
  if (blocks.length === 0) return refuse(authority.remarks, at, 'found no certificate', instead)
  try {
    return blocks.map((block) => new X509Certificate(block))
  } catch {
    return refuse(authority.remarks, at, 'found a damaged certificate', instead)
  }
}

/** The bytes of a field that Kubernetes holds in base64, as text. */
function decoded(section: Section, key: string): string | undefined {
  const text = textOf(section, key)
  const at = [...section.path, key]
  if (text === undefined) return refuse(section.remarks, at, 'found nothing', 'write it in base64')
  if (/^[A-Za-z0-9+/\s]+=*\s*$/.test(text)) return Buffer.from(text, 'base64').toString('utf8')
  return refuse(section.remarks, at, 'found no base64', 'write it in base64')
}

function isJson(text: string): boolean {
  try {
    return typeof JSON.parse(text) === 'object'
  } catch {
    return false
  }
}
