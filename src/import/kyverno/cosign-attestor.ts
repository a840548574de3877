import {
  flagOf,
  quoted,
  readSection,
  refuse,
  sectionOf,
  textOf,
  type FieldRules,
  type Remarks,
  type Section,
} from '../../policy/cluster-image-policy/remarks.ts'
import { convertIdentities } from '../../policy/cluster-image-policy/identity.ts'
import type { Path } from '../../policy/problem.ts'
import { PUBLIC_GOOD } from '../imported.ts'
import { keyInput } from './key-text.ts'
import type { SignerInput } from './signer.ts'

/** One of the named `attestors` of an ImageValidatingPolicy. */

const ROOTS: readonly [string, string] = [
  'found certificates or keys of an own Sigstore instance; here those are a trust root',
  'name the instance under trust.roots, drop them here, and run the import with --trust-root NAME',
]
const ATTESTOR: FieldRules = {
  name: 'converted',
  cosign: 'converted',
  notary: { refuse: ['found Notary signatures, which are not verified here', 'sign with cosign'] },
}
const COSIGN: FieldRules = {
  key: 'converted',
  keyless: 'converted',
  ctlog: 'converted',
  certificate: {
    refuse: [
      'found a certificate in place of a key',
      'write the public key of the signer as key.data (openssl x509 -noout -pubkey)',
    ],
  },
  source: {
    refuse: [
      'found a source of signatures other than beside the image',
      'copy them beside the image (cosign copy)',
    ],
  },
  tuf: { refuse: ROOTS },
  trustedRoot: { refuse: ROOTS },
  annotations: {
    refuse: [
      'found annotations that a signature must have, which are not compared here',
      'have the signer attest to them, and write an expression over that attestation',
    ],
  },
}
const EXPRESSION: readonly [string, string] = [
  'found an expression over the cluster',
  'write the value itself',
]
const KEY: FieldRules = {
  data: 'converted',
  kms: 'converted',
  hashAlgorithm: 'converted',
  expression: { refuse: EXPRESSION },
}
const KEYLESS: FieldRules = {
  identities: 'converted',
  roots: { refuse: ROOTS },
  additionalExtensions: {
    refuse: [
      'found additionalExtensions, which Kyverno admits and never compares',
      'write extensions in an ImagePolicy, which are compared',
    ],
  },
}
const CTLOG: FieldRules = {
  url: 'converted',
  insecureIgnoreTlog: 'converted',
  insecureIgnoreSCT: 'converted',
  rekorPubKey: { refuse: ROOTS },
  ctLogPubKey: { refuse: ROOTS },
  tsaCertChain: { refuse: ROOTS },
}

export type NamedSigner = { readonly name: string; readonly signer: SignerInput }

/** Undefined where something is refused. */
export function convertCosignAttestor(
  value: unknown,
  path: Path,
  trustRoot: string | undefined,
  remarks: Remarks,
): NamedSigner | undefined {
  const attestor = readSection(value, path, ATTESTOR, remarks)
  const name = attestor === undefined ? undefined : textOf(attestor, 'name')
  const cosign = attestor === undefined ? undefined : sectionOf(attestor, 'cosign', COSIGN)
  if (cosign === undefined || name === undefined) return undefined
  const key = sectionOf(cosign, 'key', KEY)
  const keyless = sectionOf(cosign, 'keyless', KEYLESS)
  if ((key === undefined) === (keyless === undefined)) {
    return refuse(remarks, cosign.path, 'found not exactly one of key and keyless', 'write one of them')
  }
  const isLogged = readLog(cosign, keyless !== undefined, trustRoot)
  const signer =
    keyless === undefined ? keySigner(key, isLogged, trustRoot) : keylessSigner(keyless, trustRoot)
  return signer === undefined ? undefined : { name, signer }
}

function keySigner(
  section: Section | undefined,
  isLogged: boolean,
  trustRoot: string | undefined,
): SignerInput | undefined {
  if (section === undefined) return undefined
  const [data, kms] = [textOf(section, 'data'), textOf(section, 'kms')]
  if ((data === undefined) === (kms === undefined)) {
    return refuse(section.remarks, section.path, 'found not exactly one of data and kms', 'write one of them')
  }
  const source = data === undefined ? { kms: kms ?? '' } : { data }
  const key = keyInput(source, textOf(section, 'hashAlgorithm') ?? 'sha256', section)
  if (key === undefined) return undefined
  return {
    key: {
      ...key,
      ...(isLogged ? { transparencyLog: 'required', trustRoot: trustRoot ?? PUBLIC_GOOD } : {}),
    },
  }
}

function keylessSigner(section: Section, trustRoot: string | undefined): SignerInput | undefined {
  const identities = convertIdentities(section)
  return identities === undefined
    ? undefined
    : { keyless: { trustRoot: trustRoot ?? PUBLIC_GOOD, ...identities } }
}

/** A log entry is asked for unless that is turned off, which only a key may here. */
function readLog(cosign: Section, isKeyless: boolean, trustRoot: string | undefined): boolean {
  const ctlog = sectionOf(cosign, 'ctlog', CTLOG)
  if (ctlog === undefined) return true
  const { path, remarks } = ctlog
  const isIgnored = flagOf(ctlog, 'insecureIgnoreTlog') === true
  if (isKeyless) {
    for (const [field, what] of [
      ['insecureIgnoreTlog', 'a keyless signature needs a log entry'],
      ['insecureIgnoreSCT', 'a certificate needs the promise of a certificate transparency log'],
    ] as const) {
      if (flagOf(ctlog, field) === true)
        refuse(remarks, [...path, field], `found ${field}: true; here ${what}`, 'drop it')
    }
  }
  const url = textOf(ctlog, 'url')
  const isPublic = url === undefined || URL.parse(url)?.hostname === 'rekor.sigstore.dev'
  if (!isPublic && !isIgnored && trustRoot === undefined) {
    refuse(
      remarks,
      [...path, 'url'],
      `found the log ${quoted(url)}, which is not of the public instance`,
      ROOTS[1],
    )
  }
  return !isIgnored
}
