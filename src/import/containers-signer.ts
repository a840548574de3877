import {
  listOf,
  quoted,
  readSection,
  refuse,
  sectionOf,
  textOf,
  type FieldRules,
  type Remarks,
  type Section,
} from '../policy/cluster-image-policy/remarks.ts'
import type { Path } from '../policy/problem.ts'
import { readPublicKey } from '../verify/public-key.ts'
import { accepts, type ImportOptions } from './imported.ts'

type KeyInput = { readonly data: string; readonly hashAlgorithm?: 'sha256' }

const LOG_KEY: readonly [string, string] = [
  'found the key of a transparency log; here log keys are part of a trust root',
  'write a trusted_root.json with that log (trust.roots, kind: pinned), and an ImagePolicy with transparencyLog: required and trustRoot',
]

const SIGNED: FieldRules = {
  type: 'converted',
  keyPath: 'converted',
  keyPaths: 'converted',
  keyData: 'converted',
  keyDatas: 'converted',
  signedIdentity: 'converted',
  fulcio: 'converted',
  pki: {
    refuse: [
      'found certificates of an own PKI, without a log or a time',
      'write an ImagePolicy with the public key of the signer (openssl x509 -noout -pubkey)',
    ],
  },
  rekorPublicKeyPath: { refuse: LOG_KEY },
  rekorPublicKeyPaths: { refuse: LOG_KEY },
  rekorPublicKeyData: { refuse: LOG_KEY },
  rekorPublicKeyDatas: { refuse: LOG_KEY },
}

const FULCIO: FieldRules = {
  caPath: 'converted',
  caData: 'converted',
  oidcIssuer: 'converted',
  subjectEmail: 'converted',
}

const KEY_FIELDS = ['keyPath', 'keyPaths', 'keyData', 'keyDatas'] as const

/** The keys of one `sigstoreSigned`, any one of which may have signed. */
export function readSignedBy(
  value: unknown,
  path: Path,
  options: ImportOptions,
  remarks: Remarks,
): readonly KeyInput[] | undefined {
  const section = readSection(value, path, SIGNED, remarks)
  if (section === undefined) return undefined
  if (section.fields.has('fulcio')) return refuseFulcio(section)
  accepts(
    options,
    remarks,
    [...path, 'signedIdentity'],
    ['names', 'copy images by digest between repositories only where that is meant'],
  )
  const given = KEY_FIELDS.filter((field) => section.fields.has(field))
  if (given.length !== 1) {
    const found = given.length === 0 ? 'none' : given.join(' and ')
    return refuse(remarks, path, `found ${found} of ${KEY_FIELDS.join(', ')}`, 'write exactly one')
  }
  const keys = [...pemsOf(section, options)]
  return keys.length === 0 ? undefined : keys
}

function pemsOf(section: Section, options: ImportOptions): readonly KeyInput[] {
  const { remarks, path } = section
  const paths = textsOf(section, 'keyPath', 'keyPaths')
  const fromFiles = paths.flatMap(({ text: file, at }) => {
    const pem = options.readKeyFile(file)
    if (pem !== undefined) return readPem(pem, at, remarks)
    return (
      refuse(
        remarks,
        at,
        `found ${quoted(file)}, which cannot be read here`,
        'run the import where the file is',
      ) ?? []
    )
  })
  const fromData = textsOf(section, 'keyData', 'keyDatas').flatMap(({ text, at }) =>
    readPem(Buffer.from(text, 'base64').toString('utf8'), at, remarks),
  )
  if (fromFiles.length + fromData.length === 0)
    refuse(remarks, path, 'found no key', 'write keyData or keyPath')
  return [...fromFiles, ...fromData]
}

/** containers/image hashes with SHA-256 whatever the key (sigstore LoadVerifier). */
function readPem(pem: string, at: Path, remarks: Remarks): readonly KeyInput[] {
  const key = readPublicKey(pem)
  if ('problem' in key) return refuse(remarks, at, key.problem) ?? []
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key.key
  const isDefault = type !== 'ec' || details?.namedCurve === 'prime256v1'
  return [isDefault ? { data: pem } : { data: pem, hashAlgorithm: 'sha256' }]
}

function textsOf(section: Section, one: string, many: string): readonly { text: string; at: Path }[] {
  const single = textOf(section, one)
  const list = listOf(section, many).flatMap((value, index) => {
    const at = [...section.path, many, index]
    return typeof value === 'string'
      ? [{ text: value, at }]
      : (refuse(section.remarks, at, 'found no text') ?? [])
  })
  return single === undefined ? list : [{ text: single, at: [...section.path, one] }, ...list]
}

function refuseFulcio(section: Section): undefined {
  const fulcio = sectionOf(section, 'fulcio', FULCIO)
  if (fulcio === undefined) return undefined
  const identity = `{issuer: ${quoted(textOf(fulcio, 'oidcIssuer') ?? '')}, subject: ${quoted(textOf(fulcio, 'subjectEmail') ?? '')}}`
  const reason =
    'found a certificate authority with no certificate transparency log; here a certificate always needs the promise of one'
  const instead = `name the Sigstore instance under trust.roots, and write keyless: {trustRoot: NAME, identities: [${identity}]}`
  return refuse(section.remarks, fulcio.path, reason, instead)
}
