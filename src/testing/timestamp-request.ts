import { ASN1Obj } from '@sigstore/core'
import { z } from 'zod'
import type { TimestampRequest } from './timestamp-authority.ts'

const HASHES = new Map<string, TimestampRequest['hash']>([
  ['2.16.840.1.101.3.4.2.1', 'sha256'],
  ['2.16.840.1.101.3.4.2.2', 'sha384'],
  ['2.16.840.1.101.3.4.2.3', 'sha512'],
])

/** sigstore/timestamp-authority openapi.yaml: the JSON form that sigstore-js sends. */
const jsonRequest = z.object({
  artifactHash: z.base64(),
  hashAlgorithm: z.enum(['sha256', 'sha384', 'sha512']),
  certificates: z.boolean().default(false),
})

/** What a client posts to `/api/v1/timestamp`, as RFC 3161 DER or as JSON. */
export function parseTimestampRequest(
  body: Buffer<ArrayBuffer>,
  contentType: string | undefined,
): TimestampRequest {
  if (contentType !== 'application/json') return parseDer(body)
  const { artifactHash, hashAlgorithm, certificates } = jsonRequest.parse(JSON.parse(body.toString()))
  return { hash: hashAlgorithm, imprint: Buffer.from(artifactHash, 'base64'), certificate: certificates }
}

/** RFC 3161 2.4.1: version, imprint, then policy, nonce and certReq, each optional. */
function parseDer(der: Buffer<ArrayBuffer>): TimestampRequest {
  const [, messageImprint, ...optional] = ASN1Obj.parseBuffer(der).subs
  const hash = HASHES.get(messageImprint?.subs[0]?.subs[0]?.toOID() ?? '')
  const imprint = messageImprint?.subs[1]?.value
  if (hash === undefined || imprint === undefined) throw new TypeError('not a timestamp request')
  const nonce = optional.find(({ tag }) => tag.isInteger())?.value
  const certificate = optional.some((one) => one.tag.isBoolean() && one.toBoolean())
  return { hash, imprint, certificate, ...(nonce === undefined ? {} : { nonce }) }
}
