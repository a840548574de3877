import type { Digest } from '../../../src/oci/digest.ts'
import { REGISTRY_NAME } from './clients.ts'

/** Policy documents as tests hand them to a proxy. `spec` adds to what each has otherwise, or replaces it. */

type Spec = Readonly<Record<string, unknown>>

/** Every image of the registry must have a signature of this key, PEM. */
export function imagePolicy(publicKey: string, spec: Spec = {}, name = 'signed'): object {
  return {
    apiVersion: 'portcullis.dev/v1alpha1',
    kind: 'ImagePolicy',
    metadata: { name },
    spec: {
      mode: 'enforce',
      images: [{ glob: `${REGISTRY_NAME}/**` }],
      authorities: [{ name: 'key', key: { data: publicKey } }],
      ...spec,
    },
  }
}

export function revocation(digest: Digest, spec: Spec = {}): object {
  return {
    apiVersion: 'portcullis.dev/v1alpha1',
    kind: 'Revocation',
    metadata: { name: 'incident-7' },
    spec: { reason: 'the key was stolen', deny: [{ digest }], ...spec },
  }
}
