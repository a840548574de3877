import type { TransparencyLogEntry } from '@sigstore/bundle'
import { TransparencyLogEntry as ProtoEntry } from '@sigstore/protobuf-specs'
import { z } from 'zod'
import { toPem } from './certificate.ts'
import { proposedBody, requestedBodyV2 } from './log-proposal.ts'
import { canonicalJson, leafHash, TREE_ID } from './merkle-log.ts'
import { jsonReply, type RegistryRequest, type Reply } from './registry-reply.ts'
import type { Sigstore } from './sigstore.ts'

/** Rekor v1 and v2 over HTTP, with what was minted in memory too; undefined where the path is not theirs. */
export type RekorRoutes = (request: RegistryRequest) => Reply | undefined

const ENTRIES = '/api/v1/log/entries'
const indexQuery = z.object({ hash: z.string() })
/** Digests in an entry's body, whatever its kind: what Rekor's index knows it by, less the subjects of statements. */
const INDEXED = /"(?:value|digest)":"([0-9a-f]{64})"/g
const retrieval = z.object({
  entries: z.array(z.unknown()).default([]),
  entryUUIDs: z.array(z.string()).default([]),
  logIndexes: z.array(z.int()).default([]),
})

export function createRekorRoutes({ logs, now }: Pick<Sigstore, 'logs' | 'now'>): RekorRoutes {
  const { entries } = logs.v1
  const byIndex = (index: string) => [...entries].find(([, entry]) => entry.logIndex === index)?.[0]
  const found = (uuid: string | undefined) => {
    const entry = uuid === undefined ? undefined : entries.get(uuid.slice(-64))
    return entry === undefined ? undefined : entryJson(entry)
  }
  const append = (request: RegistryRequest): Reply => {
    const body = canonicalJson(proposedBody(JSON.parse(request.body.toString())))
    const leaf = leafHash(body).toString('hex')
    const uuid = uuidOf(leaf)
    const location = `${ENTRIES}/${uuid}`
    if (entries.has(leaf)) return jsonReply(409, { code: 409, message: 'entry exists' }, { location })
    logs.v1.append(body, now())
    return jsonReply(201, found(leaf), { location, etag: uuid })
  }
  const retrieve = (request: RegistryRequest): Reply => {
    const query = retrieval.parse(JSON.parse(request.body.toString()))
    const leaves = [
      ...query.entries.map((entry) => leafHash(canonicalJson(proposedBody(entry))).toString('hex')),
      ...query.entryUUIDs,
      ...query.logIndexes.map((index) => byIndex(String(index))),
    ]
    return jsonReply(
      200,
      leaves.flatMap((leaf) => found(leaf) ?? []),
    )
  }
  const indexed = (request: RegistryRequest): Reply => {
    const { hash } = indexQuery.parse(JSON.parse(request.body.toString()))
    const hex = hash.replace(/^sha256:/, '')
    const uuids = [...entries].flatMap(([leaf, { canonicalizedBody }]) =>
      [...canonicalizedBody.toString().matchAll(INDEXED)].some(([, value]) => value === hex)
        ? [uuidOf(leaf)]
        : [],
    )
    return jsonReply(200, uuids)
  }
  const head = (): Reply => {
    const { size, rootHash, checkpoint } = logs.v1.head()
    const state = { rootHash: rootHash.toString('hex'), treeSize: size, signedTreeHead: checkpoint }
    return jsonReply(200, { ...state, treeID: TREE_ID, inactiveShards: [] })
  }
  const one = (uuid: string | undefined): Reply => {
    const entry = found(uuid)
    return entry === undefined ? jsonReply(404, { code: 404, message: 'no entry' }) : jsonReply(200, entry)
  }
  const appendV2 = (request: RegistryRequest): Reply => {
    const body = canonicalJson(requestedBodyV2(JSON.parse(request.body.toString())))
    return jsonReply(201, ProtoEntry.toJSON(logs.v2.append(body, now())))
  }
  const posts = new Map([
    ['/api/v2/log/entries', appendV2],
    [ENTRIES, append],
    [`${ENTRIES}/retrieve`, retrieve],
    ['/api/v1/index/retrieve', indexed],
  ])
  return (request) => {
    const { method, path, query } = request
    const post = method === 'POST' ? posts.get(path) : undefined
    if (post !== undefined) return post(request)
    if (path === ENTRIES) return one(byIndex(query.get('logIndex') ?? ''))
    if (path.startsWith(`${ENTRIES}/`)) return one(path.slice(ENTRIES.length + 1))
    if (path === '/api/v1/log/publicKey') {
      const headers = { 'content-type': 'application/x-pem-file' }
      return { status: 200, headers, body: toPem(logs.v1.publicKeyDer, 'PUBLIC KEY') }
    }
    return path === '/api/v1/log' ? head() : undefined
  }
}

function uuidOf(leaf: string): string {
  return `${BigInt(TREE_ID).toString(16).padStart(16, '0')}${leaf}`
}

/** Rekor v1's LogEntry: rekor openapi.yaml. */
export function entryJson(entry: TransparencyLogEntry): Record<string, unknown> {
  const proof = entry.inclusionProof
  const uuid = uuidOf(leafHash(entry.canonicalizedBody).toString('hex'))
  return {
    [uuid]: {
      body: entry.canonicalizedBody.toString('base64'),
      integratedTime: Number(entry.integratedTime),
      logID: entry.logId.keyId.toString('hex'),
      logIndex: Number(entry.logIndex),
      verification: {
        signedEntryTimestamp: entry.inclusionPromise?.signedEntryTimestamp.toString('base64'),
        inclusionProof: proof && {
          checkpoint: proof.checkpoint?.envelope,
          hashes: proof.hashes.map((hash) => hash.toString('hex')),
          logIndex: Number(proof.logIndex),
          rootHash: proof.rootHash.toString('hex'),
          treeSize: Number(proof.treeSize),
        },
      },
    },
  }
}
