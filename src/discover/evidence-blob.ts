import { Readable } from 'node:stream'
import { digestVerifier, type Digest } from '../oci/digest.ts'
import type { Descriptor } from '../oci/manifest-types.ts'
import { readAtMost } from '../upstream/body.ts'
import { UpstreamError } from '../upstream/types.ts'
import type { Candidate } from '../verify/types.ts'
import type { FoundLayer } from './evidence-manifest.ts'
import { recordError, reject, type Findings } from './findings.ts'
import type { Place } from './look-up.ts'

/** The bytes of a blob, their size and digest checked as they come. Rejects with UpstreamError. */
export async function readBlob(
  place: Pick<Place, 'client' | 'repository' | 'signal'>,
  descriptor: Pick<Descriptor, 'digest' | 'size'>,
): Promise<Buffer> {
  const { client, repository, signal } = place
  const { digest, size } = descriptor
  const blob = await client.getBlob(repository, digest, 0, signal)
  if (blob.size !== undefined && blob.size !== size) {
    blob.body.destroy()
    throw new UpstreamError(
      'invalid',
      `blob ${digest} has ${blob.size} bytes where its manifest says ${size}`,
    )
  }
  const verifier = digestVerifier(digest)
  const read = await readAtMost(Readable.from(hashed(blob.body, verifier)), size).catch((cause: unknown) => {
    const message = `blob ${digest}: the connection ended before the blob did`
    throw new UpstreamError(signal.aborted ? 'deadline' : 'unavailable', message, { cause })
  })
  if (!read.whole || !verifier.matches()) {
    throw new UpstreamError('invalid', `blob ${digest} does not have the bytes of its digest`)
  }
  return read.bytes
}

/** Hashing piece by piece leaves others their turn: the largest attestation takes some 15 ms. */
async function* hashed(
  body: AsyncIterable<unknown>,
  verifier: ReturnType<typeof digestVerifier>,
): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of body) {
    if (!(chunk instanceof Uint8Array)) throw new TypeError('a byte stream gave something else')
    verifier.update(chunk)
    yield chunk
  }
}

function toCandidate({ form, source, annotations }: FoundLayer, bytes: Buffer): Candidate {
  return form === 'bundle' ? { form, source, bytes } : { form, source, bytes, annotations }
}

export type BlobCache = Map<Digest, Promise<Buffer>>

/** Fetches one layer's blob. Signatures of one payload share a blob and differ in annotations: it is fetched once. */
export async function fetchCandidate(
  place: Place,
  layer: FoundLayer,
  shared: { readonly blobs: BlobCache; readonly findings: Findings },
): Promise<Candidate | undefined> {
  const { digest } = layer.descriptor
  const pending = shared.blobs.get(digest) ?? readBlob(place, layer.descriptor)
  shared.blobs.set(digest, pending)
  try {
    const bytes = await pending
    // Another layer may have named the same blob with another size; one of the two manifests is wrong.
    if (bytes.length === layer.descriptor.size) return toCandidate(layer, bytes)
    reject(
      shared.findings,
      layer.source,
      `blob ${digest} has ${bytes.length} bytes, not ${layer.descriptor.size}`,
    )
  } catch (error) {
    recordError(shared.findings, error, { what: 'evidence-blob', source: layer.source })
  }
  return undefined
}
