import { createPublicKey, randomUUID, type KeyObject } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { ASN1Obj } from '@sigstore/core'
import { z } from 'zod'
import { fromPem, toPem } from './certificate.ts'
import { jsonReply, type RegistryRequest, type Reply } from './registry-reply.ts'
import { createRekorRoutes, type RekorRoutes } from './rekor-routes.ts'
import type { Identity } from './fulcio.ts'
import type { Sigstore } from './sigstore.ts'
import { parseTimestampRequest } from './timestamp-request.ts'

/** The same Sigstore over HTTP on the loopback interface, for real clients. One port serves every service. */
export type SigstoreServer = AsyncDisposable & {
  readonly url: string
  /** `METHOD path`, oldest first. */
  readonly requests: string[]
  /** `signing_config.json` v0.2 for cosign's `--signing-config`; `rekor` 2 logs without promise and needs the TSA. */
  signingConfigJson(options?: { rekor?: 1 | 2; timestamp?: boolean }): string
  stop(): Promise<void>
}

const HOUR_SECONDS = 3600

/** An OIDC token that this Fulcio accepts: it reads the claims and checks no signature. */
export function identityToken(identity: Identity, now = new Date()): string {
  const issued = Math.floor(now.getTime() / 1000)
  const isEmail = !identity.subject.includes('://')
  const claims = {
    iss: identity.issuer,
    sub: identity.subject,
    aud: 'sigstore',
    iat: issued,
    exp: issued + HOUR_SECONDS,
    jti: randomUUID(),
    ...(isEmail ? { email: identity.subject, email_verified: true } : {}),
    extensions: identity.claims ?? {},
  }
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  // Clients parse the token, so it needs a known algorithm and something in place of a signature.
  return `${part({ alg: 'RS256', typ: 'JWT' })}.${part(claims)}.${Buffer.from('unsigned').toString('base64url')}`
}

export async function startSigstoreServer(sigstore: Sigstore): Promise<SigstoreServer> {
  const requests: string[] = []
  const rekor = createRekorRoutes(sigstore)
  const handle = async (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const { method = '', url = '', headers } = incoming
    const { pathname: path, searchParams: query } = new URL(url, 'http://sigstore')
    requests.push(`${method} ${path}`)
    const body = await buffer(incoming)
    const reply = answer({ method, url, path, query, headers, body }, sigstore, rekor)
    const bytes = Buffer.from(reply.body ?? '')
    outgoing.writeHead(reply.status, { ...reply.headers, 'content-length': bytes.length })
    outgoing.end(bytes)
  }
  const server = createServer((incoming, outgoing) => {
    handle(incoming, outgoing).catch((error: unknown) => {
      outgoing.writeHead(400, { 'content-type': 'application/json' })
      outgoing.end(JSON.stringify({ code: 400, message: String(error) }))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const url = `http://127.0.0.1:${port}`
  const stop = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  return {
    url,
    requests,
    stop,
    signingConfigJson: (options = {}) => signingConfigJson(url, options),
    [Symbol.asyncDispose]: stop,
  }
}

function answer(request: RegistryRequest, sigstore: Sigstore, rekor: RekorRoutes): Reply {
  const logged = rekor(request)
  if (logged !== undefined) return logged
  switch (`${request.method} ${request.path}`) {
    case 'POST /api/v2/signingCert':
    case 'POST /api/v1/signingCert':
      return signingCertificate(request, sigstore)
    case 'POST /api/v1/timestamp': {
      const stamp = parseTimestampRequest(Buffer.from(request.body), request.headers['content-type'])
      const response = sigstore.timestampAuthority.respond(stamp, sigstore.now())
      return { status: 201, headers: { 'content-type': 'application/timestamp-reply' }, body: response }
    }
    case 'GET /api/v1/timestamp/certchain':
      return pemReply(200, sigstore.timestampAuthority.chain)
    default:
      return jsonReply(404, { code: 404, message: 'no such route' })
  }
}

/** fulcio.proto CreateSigningCertificateRequest, and the first API's, whose key is base64; Go sends null for nothing. */
const signingRequest = z.object({
  credentials: z.object({ oidcIdentityToken: z.string() }).nullish(),
  publicKeyRequest: z.object({ publicKey: z.object({ content: z.string() }) }).nullish(),
  publicKey: z.object({ content: z.string() }).nullish(),
  certificateSigningRequest: z.string().nullish(),
})

/** Proof of possession is not checked. Clients send the token in the body or in the header. */
function signingCertificate({ headers, body, path }: RegistryRequest, { fulcio }: Sigstore): Reply {
  const request = signingRequest.parse(JSON.parse(body.toString()))
  const header = (headers.authorization ?? '').replace(/^Bearer /, '')
  const identity = claimedIdentity(request.credentials?.oidcIdentityToken ?? header)
  const chain = [fulcio.issue(requestedKey(request), identity), ...fulcio.chain]
  if (path === '/api/v1/signingCert') return pemReply(201, chain)
  const certificates = chain.map((der) => toPem(der))
  return jsonReply(200, { signedCertificateEmbeddedSct: { chain: { certificates } } })
}

function requestedKey(request: z.infer<typeof signingRequest>): KeyObject {
  const { certificateSigningRequest, publicKeyRequest, publicKey } = request
  if (typeof certificateSigningRequest === 'string') {
    // RFC 2986 4.1: the key is the third element of the certification request info.
    const pem = Buffer.from(certificateSigningRequest, 'base64').toString()
    const key = ASN1Obj.parseBuffer(fromPem(pem)).subs[0]?.subs[2]?.toDER()
    if (key === undefined) throw new TypeError('not a certificate signing request')
    return createPublicKey({ key, format: 'der', type: 'spki' })
  }
  if (publicKeyRequest?.publicKey.content !== undefined) {
    return createPublicKey(publicKeyRequest.publicKey.content)
  }
  const key = Buffer.from(publicKey?.content ?? '', 'base64')
  return key.toString('latin1', 0, 5) === '-----'
    ? createPublicKey(key)
    : createPublicKey({ key, format: 'der', type: 'spki' })
}

const tokenClaims = z.object({
  iss: z.string(),
  sub: z.string(),
  email: z.string().optional(),
  extensions: z.record(z.string(), z.string()).default({}),
})

function claimedIdentity(token: string): Identity {
  const payload = Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()
  const { iss, sub, email, extensions } = tokenClaims.parse(JSON.parse(payload))
  const claims = Object.fromEntries(Object.entries(extensions).map(([id, value]) => [Number(id), value]))
  return { subject: email ?? sub, issuer: iss, claims }
}

function pemReply(status: number, chain: readonly Buffer[]): Reply {
  const body = chain.map((der) => toPem(der)).join('')
  return { status, headers: { 'content-type': 'application/pem-certificate-chain' }, body }
}

function signingConfigJson(
  url: string,
  { rekor = 1, timestamp = true }: { rekor?: 1 | 2; timestamp?: boolean },
): string {
  const service = (at: string, majorApiVersion = 1) => ({
    url: at,
    majorApiVersion,
    validFor: { start: '2020-01-01T00:00:00Z' },
    operator: 'sigstore.test',
  })
  return JSON.stringify({
    mediaType: 'application/vnd.dev.sigstore.signingconfig.v0.2+json',
    caUrls: [service(url)],
    oidcUrls: [service(url)],
    rekorTlogUrls: [service(url, rekor)],
    rekorTlogConfig: { selector: 'ANY' },
    tsaUrls: timestamp ? [service(`${url}/api/v1/timestamp`)] : [],
    tsaConfig: { selector: 'ANY' },
  })
}
