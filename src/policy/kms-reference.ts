/** A key of AWS KMS as cosign names it: `awskms://[host[:port]]/KEY`. */
export type KmsReference = {
  /** Canonical, so that two spellings of one key are one entry in the trust snapshot. */
  readonly text: string
  /** `host` or `host:port`, lower case; undefined: the endpoint of the region. */
  readonly endpoint: string | undefined
  /** What KMS is asked for: a key id, `alias/NAME`, or the ARN of either. */
  readonly keyId: string
  /** From an ARN. */
  readonly region: string | undefined
}

export type KmsReferenceResult =
  | { readonly ok: true; readonly reference: KmsReference }
  | { readonly ok: false; readonly message: string }

const SCHEME = 'awskms://'
/** An alias ARN is the longest, 336 characters; a host name has at most 253. */
const TEXT_LENGTH_MAX = 768

/** Schemes that cosign signs with and nothing here fetches keys from. */
const ELSEWHERE = [
  'gcpkms://',
  'azurekms://',
  'hashivault://',
  'openbao://',
  'k8s://',
  'gitlab://',
  'pkcs11:',
]

const HOST = /^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.|(?=:|$)))+(?::(?<port>[1-9][0-9]{0,4}))?$/
const IPV6_HOST = /^\[[0-9a-f:.]{2,45}\](?::(?<port>[1-9][0-9]{0,4}))?$/
const PORT_MAX = 65_535

// AWS KMS Developer Guide, "Key identifiers"; CreateAlias, "AliasName".
const KEY_ID = String.raw`(?:[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}|mrk-[0-9a-fA-F]{32})`
const ALIAS = String.raw`alias/[a-zA-Z0-9/_-]{1,250}`
const NAME = new RegExp(`^(?:${KEY_ID}|${ALIAS})$`)
const ARN = new RegExp(
  String.raw`^arn:aws(?:-[a-z]+)*:kms:(?<region>[a-z0-9-]{1,32}):[0-9]{12}:(?:key/${KEY_ID}|${ALIAS})$`,
)

const GRAMMAR =
  'expected awskms://[host[:port]]/KEY, KEY a key id, alias/NAME, or the ARN of a key or an alias'

function refuse(message: string): KmsReferenceResult {
  return { ok: false, message }
}

/** A pkcs11 URI may carry the PIN (RFC 7512 `pin-value`), and nobody knows what else is in a long one. */
function shown(text: string, scheme: string): string {
  return scheme === 'pkcs11:' || !/^[\w.:/@-]{1,256}$/.test(text) ? `${scheme}…` : text
}

function elsewhere(text: string, scheme: string): KmsReferenceResult {
  const key = shown(text, scheme)
  return refuse(
    `found ${key}: keys are fetched from AWS KMS only; export the public key once with ` +
      `"cosign public-key --key ${key} > key.pub" and give that file as key.file`,
  )
}

function isEndpoint(text: string): boolean {
  const port = (HOST.exec(text) ?? IPV6_HOST.exec(text))?.groups
  return port !== undefined && Number(port['port'] ?? 1) <= PORT_MAX && URL.canParse(`https://${text}`)
}

/** Parses the operator's text by cosign's grammar. `message` says what was found, what is expected, and what to do. */
export function parseKmsReference(text: string): KmsReferenceResult {
  const scheme = ELSEWHERE.find((prefix) => text.startsWith(prefix))
  if (scheme !== undefined) return elsewhere(text, scheme)
  if (!text.startsWith(SCHEME)) return refuse(`found no ${SCHEME} at its start, ${GRAMMAR}`)
  if (text.length > TEXT_LENGTH_MAX) return refuse(`found ${text.length} characters, ${GRAMMAR}`)
  const rest = text.slice(SCHEME.length)
  const slash = rest.indexOf('/')
  if (slash === -1) {
    return refuse(`found no "/" after ${SCHEME}, ${GRAMMAR}; without a host there are three: ${SCHEME}/KEY`)
  }
  const endpoint = rest.slice(0, slash).toLowerCase()
  if (endpoint !== '' && !isEndpoint(endpoint)) return refuse(`found a malformed host, ${GRAMMAR}`)
  const keyId = rest.slice(slash + 1)
  const region = ARN.exec(keyId)?.groups?.['region']
  if (region === undefined && !NAME.test(keyId)) return refuse(`found a malformed KEY, ${GRAMMAR}`)
  return {
    ok: true,
    reference: {
      text: `${SCHEME}${endpoint}/${keyId}`,
      endpoint: endpoint === '' ? undefined : endpoint,
      keyId,
      region,
    },
  }
}
