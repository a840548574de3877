import { createHash, generateKeyPairSync, sign } from 'node:crypto'
import { toDSSEBundle, toMessageSignatureBundle, type Bundle } from '@sigstore/bundle'
import { dsse } from '@sigstore/core'
import type { Signature, Signer } from '@sigstore/sign'
import { fromPem, publicKeyDer, toPem, type KeyPair } from './certificate.ts'
import { createFulcio, type Fulcio, type Identity, type LeafOptions } from './fulcio.ts'
import { envelopeSignature, logBody, type BodyForm, type LogBody } from './log-body.ts'
import { canonicalJson, createMerkleLog, type MerkleLog } from './merkle-log.ts'
import { createTimestampAuthority, type TimestampAuthority } from './timestamp-authority.ts'

export type { Signer } from '@sigstore/sign'
export type { Bundle } from '@sigstore/bundle'

export type KeylessIdentity = Identity & {
  readonly leaf?: LeafOptions & {
    /** Default P-256. */
    readonly curve?: 'P-256' | 'P-384' | 'P-521'
    /** Digest of the leaf key's signature; default sha256. */
    readonly hash?: 'sha256' | 'sha384' | 'sha512'
  }
}

export type MintOptions = {
  /** 1 (default): Rekor v1 with promise and proof. 2: Rekor v2, proof only. 0: no log. */
  readonly log?: 0 | 1 | 2
  /** RFC 3161 timestamp; default only with log 2. */
  readonly timestamp?: boolean
  /** Default true: keep the signed entry timestamp of log 1. */
  readonly promise?: boolean
  /** Default true: keep the inclusion proof. */
  readonly proof?: boolean
  /** Log an envelope as `intoto/0.0.1`, as cosign did up to 2.1. */
  readonly intoto001?: boolean
  /** Log an envelope as `intoto/0.0.2`, as npm and GitHub did. */
  readonly intoto002?: boolean
  /** Forge the log entry: called before the body is canonicalized, hashed and signed by the log. */
  readonly mutateBody?: (body: LogBody) => void
  /** Stamp these bytes in place of the signature. */
  readonly timestampOver?: Buffer
}

type ValidFor = { readonly start: string; readonly end?: string }
type RawBytes = { readonly rawBytes: string }
type LogInstance = {
  readonly baseUrl: string
  readonly hashAlgorithm: string
  readonly publicKey: RawBytes & { readonly keyDetails: string; readonly validFor: ValidFor }
  readonly logId: { readonly keyId: string }
}
type Authority = {
  readonly subject: { readonly organization: string; readonly commonName: string }
  readonly uri: string
  readonly certChain: { readonly certificates: readonly RawBytes[] }
  readonly validFor: ValidFor
}

/** `trusted_root.json` v0.1: sigstore protobuf-specs, sigstore_trustroot.proto. */
export type TrustedRootJson = {
  readonly mediaType: string
  readonly tlogs: readonly LogInstance[]
  readonly certificateAuthorities: readonly Authority[]
  readonly ctlogs: readonly LogInstance[]
  readonly timestampAuthorities: readonly Authority[]
}

/** A private Sigstore in memory: everything that it mints verifies against its own trusted root, without network. */
export type Sigstore = {
  readonly base: string
  readonly now: () => Date
  readonly fulcio: Fulcio
  readonly logs: { readonly v1: MerkleLog; readonly v2: MerkleLog }
  readonly timestampAuthority: TimestampAuthority
  /** A fresh copy at every call. */
  trustedRoot(): TrustedRootJson
  trustedRootJson(): string
  /** Signs each time with a new key and certificate. */
  keyless(identity: KeylessIdentity): Signer
  message(payload: Buffer, signer: Signer, options?: MintOptions): Promise<Bundle>
  dsse(statement: object, signer: Signer, options?: MintOptions): Promise<Bundle>
  /** An RFC 3161 response over `data`. */
  stamp(data: Buffer): Promise<Buffer>
}

const YEAR_MS = 365 * 24 * 3600 * 1000
const CURVES = { 'P-256': 'prime256v1', 'P-384': 'secp384r1', 'P-521': 'secp521r1' } as const

/**
 * `base` names the hosts (default `sigstore.test`), `now` may go back up to a year: what it said at creation starts
 * the validity of every key, less that year.
 */
export function createSigstore(options: { base?: string; now?: () => Date } = {}): Promise<Sigstore> {
  const now = options.now ?? (() => new Date())
  const base = options.base ?? 'sigstore.test'
  const created = now().getTime()
  const validFor = { start: new Date(created - YEAR_MS), end: new Date(created + 10 * YEAR_MS) }
  const authorities = {
    base,
    now,
    fulcio: createFulcio(validFor, now),
    timestampAuthority: createTimestampAuthority(validFor),
    logs: {
      v1: createMerkleLog(`https://rekor.${base}`, 1),
      v2: createMerkleLog(`https://log2026-1.rekor.${base}`, 2),
    },
  }
  const stampNow = (data: Buffer) =>
    authorities.timestampAuthority.respond({ hash: 'sha256', imprint: sha256(data) }, now())
  const trustedRoot = () => trustedRootOf(authorities, validFor.start.toISOString())
  const witness = (bundle: Bundle, pem: string, mint: MintOptions): Bundle =>
    addMaterial(bundle, {
      entries: mint.log === 0 ? [] : [logEntry(authorities.logs, bundle, pem, { ...mint, time: now() })],
      timestamps:
        (mint.timestamp ?? mint.log === 2) ? [stampNow(mint.timestampOver ?? signatureOf(bundle))] : [],
    })

  // Everything is synchronous today; callers await, so that a signer over the network fits too.
  return Promise.resolve({
    ...authorities,
    trustedRoot,
    trustedRootJson: () => JSON.stringify(trustedRoot()),
    keyless: (identity) => keylessSigner(authorities.fulcio, identity),
    message: async (payload, signer, mint = {}) => {
      const signed = await signer.sign(payload)
      const digest = sha256(payload)
      const bundle = toMessageSignatureBundle({ digest, certificateChain: false, ...keyMaterial(signed) })
      return witness(bundle, pemOf(signed), mint)
    },
    dsse: async (statement, signer, mint = {}) => {
      const artifactType = 'application/vnd.in-toto+json'
      const artifact = Buffer.from(JSON.stringify(statement))
      const signed = await signer.sign(dsse.preAuthEncoding(artifactType, artifact))
      const bundle = toDSSEBundle({ artifact, artifactType, certificateChain: false, ...keyMaterial(signed) })
      // The library puts the key hint here; cosign leaves it empty and refuses an id that it did not compute.
      for (const signature of bundle.content.dsseEnvelope.signatures) signature.keyid = ''
      return witness(bundle, pemOf(signed), mint)
    },
    stamp: (data) => Promise.resolve(stampNow(data)),
  })
}

function keylessSigner(fulcio: Fulcio, identity: KeylessIdentity): Signer {
  const { curve = 'P-256', hash = 'sha256', ...leaf } = identity.leaf ?? {}
  return {
    sign: (data) => {
      const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: CURVES[curve] })
      const certificate = toPem(fulcio.issue(publicKey, identity, leaf))
      return Promise.resolve({
        signature: sign(hash, data, privateKey),
        key: { $case: 'x509Certificate', certificate },
      })
    },
  }
}

/** Signs with a key of one's own; `signData` replaces the default (SHA-256, or plain Ed25519). */
export function managedSigner(keyPair: KeyPair, signData?: (data: Buffer) => Buffer): Signer {
  const der = publicKeyDer(keyPair.publicKey)
  const hash = keyPair.privateKey.asymmetricKeyType === 'ed25519' ? null : 'sha256'
  return {
    sign: (data) =>
      Promise.resolve({
        signature: signData === undefined ? sign(hash, data, keyPair.privateKey) : signData(data),
        key: {
          $case: 'publicKey',
          publicKey: toPem(der, 'PUBLIC KEY'),
          hint: sha256(der).toString('base64'),
        },
      }),
  }
}

function pemOf({ key }: Signature): string {
  return key.$case === 'publicKey' ? key.publicKey : key.certificate
}

function keyMaterial({ signature, key }: Signature): {
  signature: Buffer
  certificate?: Buffer
  keyHint?: string
} {
  if (key.$case === 'x509Certificate') return { signature, certificate: fromPem(key.certificate) }
  return { signature, ...(key.hint === undefined ? {} : { keyHint: key.hint }) }
}

function signatureOf({ content }: Bundle): Buffer {
  return content.$case === 'dsseEnvelope'
    ? envelopeSignature(content.dsseEnvelope)
    : content.messageSignature.signature
}

function logEntry(
  logs: Sigstore['logs'],
  bundle: Bundle,
  pem: string,
  options: MintOptions & { time: Date },
): Bundle['verificationMaterial']['tlogEntries'][number] {
  const log = options.log === 2 ? logs.v2 : logs.v1
  const body = logBody(bundle.content, pem, bodyForm(options))
  options.mutateBody?.(body)
  const entry = log.append(canonicalJson(body), options.time)
  return {
    ...entry,
    inclusionPromise: options.promise === false ? undefined : entry.inclusionPromise,
    inclusionProof: options.proof === false ? undefined : entry.inclusionProof,
  }
}

function bodyForm(options: MintOptions): BodyForm {
  if (options.log === 2) return 'v2'
  if (options.intoto001 === true) return 'intoto-0.0.1'
  return options.intoto002 === true ? 'intoto-0.0.2' : 'v1'
}

type Material = {
  readonly entries: Bundle['verificationMaterial']['tlogEntries']
  readonly timestamps: readonly Buffer[]
}

function addMaterial(bundle: Bundle, { entries, timestamps }: Material): Bundle {
  bundle.verificationMaterial.tlogEntries = entries
  bundle.verificationMaterial.timestampVerificationData = {
    rfc3161Timestamps: timestamps.map((signedTimestamp) => ({ signedTimestamp })),
  }
  return bundle
}

function trustedRootOf(
  {
    base,
    fulcio,
    timestampAuthority,
    logs,
  }: Pick<Sigstore, 'base' | 'fulcio' | 'timestampAuthority' | 'logs'>,
  start: string,
): TrustedRootJson {
  const certificates = (chain: readonly Buffer[]) =>
    chain.map((der) => ({ rawBytes: der.toString('base64') }))
  const log = (baseUrl: string, key: Buffer, logId: Buffer, keyDetails = 'PKIX_ECDSA_P256_SHA_256') => ({
    baseUrl,
    hashAlgorithm: 'SHA2_256',
    publicKey: { rawBytes: key.toString('base64'), keyDetails, validFor: { start } },
    logId: { keyId: logId.toString('base64') },
  })
  const authority = (commonName: string, uri: string, chain: readonly Buffer[]) => ({
    subject: { organization: 'sigstore.test', commonName },
    uri,
    certChain: { certificates: certificates(chain) },
    validFor: { start },
  })
  return {
    mediaType: 'application/vnd.dev.sigstore.trustedroot+json;version=0.1',
    tlogs: [
      log(logs.v1.url, logs.v1.publicKeyDer, logs.v1.logId),
      log(logs.v2.url, logs.v2.publicKeyDer, logs.v2.logId, 'PKIX_ED25519'),
    ],
    certificateAuthorities: [authority('sigstore', `https://fulcio.${base}`, fulcio.chain)],
    ctlogs: [log(`https://ctfe.${base}/test`, fulcio.ctLog.publicKey, fulcio.ctLog.logId)],
    timestampAuthorities: [
      authority('tsa', `https://timestamp.${base}/api/v1/timestamp`, timestampAuthority.chain),
    ],
  }
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest()
}
