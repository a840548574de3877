import { MANIFEST_ACCEPT, type Target } from '../measure.ts'
import { Puller } from './pull.ts'
import type { ColdWorld } from './world.ts'

/** Enough that no one of them is special, few enough that all are soon warm again. */
export const WARM_IMAGES = 20

/** Publishes images, pulls each once by its tag, and gives what a node asks for that pulls them again: by digest. */
export async function warmTargets(world: ColdWorld, base: string): Promise<readonly Target[]> {
  const images = await world.publish('key', 'warm', WARM_IMAGES)
  const puller = new Puller()
  try {
    for (const image of images) await puller.byTag(base, image)
  } finally {
    puller.close()
  }
  return images.map(({ repository, digest, manifest }) => ({
    url: `${base}/v2/${repository}/manifests/${digest}`,
    method: 'GET',
    headers: { accept: MANIFEST_ACCEPT },
    bodyBytes: manifest.length,
  }))
}
