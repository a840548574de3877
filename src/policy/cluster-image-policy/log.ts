import { note, quoted, refuse, sectionOf, textOf, type FieldRules, type Section } from './remarks.ts'

/** What a signature must be proven by beside its signer: policy-controller's webhook/validator.go checkOptsFromAuthority. */
export type TrustInput = {
  /** Name of the trust root that certificates, logs and times are of. */
  readonly trustRoot: string
  readonly isLogged: boolean
}

const CTLOG: FieldRules = { url: 'converted', trustRootRef: 'converted' }
const TIMESTAMP: FieldRules = { trustRootRef: 'converted' }
const PUBLIC_GOOD = 'public-good'
const ROOT_NAME = /^[a-z0-9][a-z0-9-]{0,62}$/

/** What of the trust is said where: two roots in one authority have no equal here. */
type Sources = {
  readonly keyless: Section | undefined
  readonly ctlog: Section | undefined
  /** `keyless.trustRootRef` */
  readonly certificates: string | undefined
  /** `ctlog.trustRootRef` */
  readonly logs: string | undefined
  readonly isBundle: boolean
}

/** Undefined where something is refused. `fallback`: the trust root that policy-controller was started with, if that is known. */
export function convertTrust(
  authority: Section,
  keyless: Section | undefined,
  fallback: string | undefined,
): TrustInput | undefined {
  const ctlog = sectionOf(authority, 'ctlog', CTLOG)
  const sources: Sources = {
    keyless,
    ctlog,
    certificates: rootRef(keyless),
    logs: rootRef(ctlog),
    isBundle: textOf(authority, 'signatureFormat') === 'bundle',
  }
  if (!isWithoutTimestamp(authority, sources)) return undefined
  const trust = keyless === undefined ? keyTrust(sources) : keylessTrust(authority, sources)
  if (trust === undefined) return undefined
  const { named, isLogged } = trust
  if (named === undefined && fallback === undefined) refuseForeign(keyless, ctlog)
  if (named !== undefined && !isRootName(authority, named)) return undefined
  const trustRoot = named ?? fallback ?? PUBLIC_GOOD
  noteUrls(sources, trustRoot)
  return { trustRoot, isLogged }
}

/** What they were for is said by the trust root. */
function noteUrls({ keyless, ctlog }: Sources, trustRoot: string): void {
  if (keyless?.fields.has('url') === true && trustRoot !== PUBLIC_GOOD) {
    note(
      keyless.remarks,
      [...keyless.path, 'url'],
      'keyless.url is dropped: it is no trust anchor, there and here',
    )
  }
  if (ctlog?.fields.has('url') === true) {
    const message = `entries that signatures do not carry are looked up in the log that trust.roots.${trustRoot}.rekor names, and else not`
    note(ctlog.remarks, [...ctlog.path, 'url'], message)
  }
}

/**
 * A URL is no trust anchor there: keys are those of the TUF root that the controller was started with. Another URL than
 * that of the public instance says that it was started with another one, and no document says which.
 */
function refuseForeign(keyless: Section | undefined, ctlog: Section | undefined): void {
  const instances = [
    [keyless, 'fulcio.sigstore.dev'],
    [ctlog, 'rekor.sigstore.dev'],
  ] as const
  for (const [section, host] of instances) {
    const url = section === undefined ? undefined : textOf(section, 'url')
    if (section === undefined || url === undefined || URL.parse(url)?.hostname === host) continue
    const reason = `found ${quoted(url)}, which is no trust anchor and not of the public instance: policy-controller takes keys from the TUF root that it was started with`
    const instead = 'name a TrustRoot in trustRootRef, or run portcullis policy import with --trust-root NAME'
    refuse(section.remarks, [...section.path, 'url'], reason, instead)
  }
}

/** `named`: in a TrustRoot of its own. */
type Demand = { readonly named: string | undefined; readonly isLogged: boolean }

/** Without a TrustRoot and without a URL nothing is looked for in a log: no default URL is filled in. */
function keyTrust({ ctlog, logs }: Sources): Demand {
  if (logs !== undefined) return { named: logs, isLogged: true }
  const isLogged = ctlog !== undefined && textOf(ctlog, 'url') !== undefined
  if (ctlog !== undefined && !isLogged) {
    note(
      ctlog.remarks,
      ctlog.path,
      'ctlog without url and trustRootRef asks for no log entry: transparencyLog stays optional',
    )
  }
  return { named: undefined, isLogged }
}

function keylessTrust(authority: Section, sources: Sources): Demand | undefined {
  const { ctlog, certificates, logs, isBundle } = sources
  const at = ctlog?.path ?? authority.path
  // Verifying bundles takes everything from one root, and asks for a log entry unless there is a timestamp.
  const isUnlogged = ctlog === undefined ? certificates !== undefined : isEmpty(ctlog)
  if (!isBundle && isUnlogged) {
    const reason =
      'found a keyless authority whose signatures are looked up in no log: there they count while their certificate is valid, for minutes'
    const ref = certificates === undefined ? 'url' : 'trustRootRef'
    return refuse(
      authority.remarks,
      at,
      reason,
      `write ctlog.${ref}: here a keyless signature needs a log entry`,
    )
  }
  if (ctlog !== undefined && certificates !== logs) {
    const reason = `found certificates of ${rootText(certificates)} with a log of ${rootText(logs)}; here one trust root vouches for both`
    return refuse(
      authority.remarks,
      at,
      reason,
      'name one TrustRoot in keyless.trustRootRef and ctlog.trustRootRef',
    )
  }
  return { named: certificates, isLogged: true }
}

function isEmpty(ctlog: Section): boolean {
  return textOf(ctlog, 'url') === undefined && textOf(ctlog, 'trustRootRef') === undefined
}

/** A timestamp replaces the log there; here no rule asks for one. */
function isWithoutTimestamp(authority: Section, { isBundle }: Sources): boolean {
  const timestamp = sectionOf(authority, 'rfc3161timestamp', TIMESTAMP)
  if (timestamp === undefined) return true
  if (rootRef(timestamp) === undefined && !isBundle) {
    note(
      authority.remarks,
      timestamp.path,
      'rfc3161timestamp without trustRootRef asks for nothing, there and here',
    )
    return true
  }
  const reason =
    'found rfc3161timestamp, which asks for a timestamp in place of a log entry; here nothing asks for that'
  const instead =
    'write ctlog.trustRootRef (keyless), or an ImagePolicy with maxAge (a key): a trusted time is then asked for, of a log or a timestamp authority'
  refuse(authority.remarks, timestamp.path, reason, instead)
  return false
}

function rootRef(section: Section | undefined): string | undefined {
  return section === undefined ? undefined : textOf(section, 'trustRootRef')
}

function rootText(name: string | undefined): string {
  return name === undefined ? 'the controller’s own TUF root' : `TrustRoot ${name}`
}

/** Says, too, that the configuration must have it. */
function isRootName(authority: Section, trustRoot: string): boolean {
  const isName = ROOT_NAME.test(trustRoot)
  if (isName) {
    const message = `trust.roots of the configuration must have ${trustRoot}, which is TrustRoot ${trustRoot}: import that document, too`
    note(authority.remarks, authority.path, message)
  } else {
    const reason = `found TrustRoot ${quoted(trustRoot)}, whose name no trust root can have here`
    refuse(authority.remarks, authority.path, reason, 'name it with lower case letters, digits and dashes')
  }
  return isName
}
