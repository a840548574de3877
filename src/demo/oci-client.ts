import { digestOf, parseDigest } from '../oci/digest.ts'

/** What a plain OCI client got, in the order in which docker asks. */
export type PullReport = {
  readonly status: number
  /** The one line that a person would see. */
  readonly message: string
  readonly blobs: number
  readonly bytes: number
}

const ACCEPT = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
].join(', ')

type Described = { readonly digest: string }
type ManifestJson = {
  readonly manifests?: readonly Described[]
  readonly config?: Described
  readonly layers?: readonly Described[]
}

/** Pulls an image whole: manifest, every child, config and layers, each hashed against its digest. */
export async function pullImage(
  registryUrl: string,
  repository: string,
  reference: string,
): Promise<PullReport> {
  const base = `${registryUrl}/v2/${repository}`
  const head = await fetch(`${base}/manifests/${reference}`, { headers: { accept: ACCEPT } })
  const bytes = Buffer.from(await head.arrayBuffer())
  if (head.status !== 200) return { status: head.status, message: messageOf(bytes), blobs: 0, bytes: 0 }
  const announced = parseDigest(head.headers.get('docker-content-digest') ?? '')
  if (announced !== digestOf(bytes))
    throw new Error(`${repository}:${reference}: the bytes are not those of the digest`)
  const warning = head.headers.get('warning') ?? ''
  const below = await pullNamed(base, bytes)
  if ('refused' in below) return below.refused
  return { status: 200, message: warning, blobs: below.blobs, bytes: below.bytes }
}

async function pullNamed(
  base: string,
  manifest: Buffer,
): Promise<{ blobs: number; bytes: number } | { refused: PullReport }> {
  const json: ManifestJson = JSON.parse(manifest.toString('utf8'))
  const sum = { blobs: 0, bytes: 0 }
  for (const { digest } of json.manifests ?? []) {
    const child = await get(`${base}/manifests/${digest}`, digest)
    if ('refused' in child) return child
    const below = await pullNamed(base, child.bytes)
    if ('refused' in below) return below
    sum.blobs += below.blobs
    sum.bytes += below.bytes
  }
  const blobs = [...(json.config === undefined ? [] : [json.config]), ...(json.layers ?? [])]
  for (const { digest } of blobs) {
    const blob = await get(`${base}/blobs/${digest}`, digest)
    if ('refused' in blob) return blob
    sum.blobs += 1
    sum.bytes += blob.bytes.length
  }
  return sum
}

async function get(url: string, digest: string): Promise<{ bytes: Buffer } | { refused: PullReport }> {
  const response = await fetch(url, { headers: { accept: `${ACCEPT}, */*` } })
  const bytes = Buffer.from(await response.arrayBuffer())
  if (response.status !== 200) {
    return { refused: { status: response.status, message: messageOf(bytes), blobs: 0, bytes: 0 } }
  }
  if (digestOf(bytes) !== digest) throw new Error(`${url}: the bytes are not those of the digest`)
  return { bytes }
}

function messageOf(body: Buffer): string {
  try {
    const parsed: { errors?: readonly { code: string; message: string }[] } = JSON.parse(
      body.toString('utf8'),
    )
    const [error] = parsed.errors ?? []
    return error === undefined ? body.toString('utf8') : `${error.code.toLowerCase()}: ${error.message}`
  } catch {
    return body.toString('utf8')
  }
}
