import { convertAttestations, type AttestationInput } from './attestation.ts'
import { convertIdentities, type IdentitiesInput } from './identity.ts'
import { convertKey, type KeyInput } from './key.ts'
import { convertTrust, type TrustInput } from './log.ts'
import { convertName } from './name.ts'
import { note, quoted, refuse, sectionOf, textOf, type FieldRules, type Section } from './remarks.ts'

/** One of `authorities`, as an ImagePolicy document says it. */
export type AuthorityInput = {
  readonly name: string
  readonly keyless?: { readonly trustRoot: string } & IdentitiesInput
  readonly key?: KeyInput & { readonly transparencyLog?: 'required'; readonly trustRoot?: string }
  readonly static?: { readonly action: 'pass' | 'fail'; readonly message?: string }
  readonly attestations?: readonly AttestationInput[]
}

export const AUTHORITY: FieldRules = {
  name: 'converted',
  key: 'converted',
  keyless: 'converted',
  static: 'converted',
  ctlog: 'converted',
  rfc3161timestamp: 'converted',
  attestations: 'converted',
  signatureFormat: 'converted',
  source: {
    refuse: [
      'found a source of signatures other than beside the image',
      'copy them beside the image (cosign copy); signatures of a mirrored image are found with the image. Credentials are in upstreams of the configuration',
    ],
  },
}

const KEYLESS: FieldRules = {
  url: 'converted',
  identities: 'converted',
  trustRootRef: 'converted',
  insecureIgnoreSCT: 'converted',
  'ca-cert': {
    refuse: [
      'found ca-cert, with which policy-controller never admits anything ("no Keyless URL specified")',
      'name a TrustRoot with the certificate authority in keyless.trustRootRef',
    ],
  },
}

const STATIC: FieldRules = { action: 'converted', message: 'converted' }

/** Undefined where something is refused. */
export function convertAuthority(
  section: Section,
  index: number,
  context: { readonly trustRoot: string | undefined; readonly names: Set<string> },
): AuthorityInput | undefined {
  const { fields, path, remarks } = section
  const kinds = ['key', 'keyless', 'static'].filter((kind) => fields.has(kind))
  if (kinds.length !== 1) {
    const found = kinds.length === 0 ? 'none' : kinds.join(' and ')
    return refuse(remarks, path, `found ${found} of key, keyless and static`, 'write exactly one')
  }
  const name = convertName(section, textOf(section, 'name') ?? `authority-${index}`, context.names)
  const fixed = sectionOf(section, 'static', STATIC)
  if (fields.has('static')) return fixed === undefined ? undefined : convertStatic(section, fixed, name)
  const keyless = sectionOf(section, 'keyless', KEYLESS)
  const attestations = convertAttestations(section)
  checkFormat(section, keyless)
  const trust = convertTrust(section, keyless, context.trustRoot)
  const signer = keyless === undefined ? keySigner(section, trust) : keylessSigner(keyless, trust)
  if (signer === undefined) return undefined
  return { name, ...signer, ...(attestations.length === 0 ? {} : { attestations }) }
}

function keySigner(section: Section, trust: TrustInput | undefined): Pick<AuthorityInput, 'key'> | undefined {
  const key = convertKey(section)
  if (key === undefined || trust === undefined) return undefined
  if (!trust.isLogged) return { key }
  return { key: { ...key, transparencyLog: 'required', trustRoot: trust.trustRoot } }
}

function keylessSigner(
  keyless: Section,
  trust: TrustInput | undefined,
): Pick<AuthorityInput, 'keyless'> | undefined {
  const identities = convertIdentities(keyless)
  if (keyless.fields.get('insecureIgnoreSCT') === true) {
    const reason =
      'found insecureIgnoreSCT: true; here a certificate always needs the promise of a certificate transparency log'
    const instead =
      'drop it, and have the certificate authority log what it issues to a log of the trust root'
    return refuse(keyless.remarks, [...keyless.path, 'insecureIgnoreSCT'], reason, instead)
  }
  if (identities === undefined || trust === undefined) return undefined
  return { keyless: { trustRoot: trust.trustRoot, ...identities } }
}

function convertStatic(section: Section, fixed: Section, name: string): AuthorityInput | undefined {
  for (const field of ['attestations', 'ctlog', 'rfc3161timestamp']) {
    if (!section.fields.has(field)) continue
    refuse(
      section.remarks,
      [...section.path, field],
      `found ${field} beside static, where nothing is verified`,
      'drop one',
    )
  }
  const format = textOf(section, 'signatureFormat')
  if (format !== undefined) {
    note(
      section.remarks,
      [...section.path, 'signatureFormat'],
      'signatureFormat beside static is dropped: nothing is verified',
    )
  }
  const action = textOf(fixed, 'action')
  if (action !== 'pass' && action !== 'fail') {
    return refuse(
      fixed.remarks,
      [...fixed.path, 'action'],
      `found ${quoted(action ?? 'nothing')}`,
      'write pass or fail',
    )
  }
  const message = textOf(fixed, 'message')
  if (action === 'fail' && message !== undefined) return { name, static: { action, message } }
  if (message !== undefined)
    note(
      fixed.remarks,
      [...fixed.path, 'message'],
      'the message of static pass is never shown: it is dropped',
    )
  return { name, static: { action } }
}

/** What is verified is the same in every format, and all of them are read here; but not every combination ever passes there. */
function checkFormat(section: Section, keyless: Section | undefined): void {
  const format = textOf(section, 'signatureFormat')
  const at = [...section.path, 'signatureFormat']
  if (format === undefined) return
  if (format !== 'bundle') {
    return note(
      section.remarks,
      at,
      `signatureFormat ${quoted(format)} is not converted: signatures are read in every format`,
    )
  }
  const identities = keyless?.fields.get('identities')
  const fault =
    keyless === undefined
      ? 'with a key'
      : !section.fields.has('attestations')
        ? 'without attestations'
        : Array.isArray(identities) && identities.length > 1
          ? 'with more than one identity'
          : undefined
  if (fault !== undefined) {
    const reason = `found signatureFormat: bundle ${fault}, which policy-controller never admits`
    return refuse(
      section.remarks,
      at,
      reason,
      'drop signatureFormat: bundles are read here whatever the authority',
    )
  }
  note(section.remarks, at, 'signatureFormat bundle is not converted: signatures are read in every format')
}
