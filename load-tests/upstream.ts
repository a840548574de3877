import { join } from 'node:path'
import { startRegistry } from '../test/e2e/harness/registry.ts'
import { startUpstreamFront } from './peers.ts'

export type Upstream = {
  /** Where images are pushed to. */
  readonly registryHost: string
  /** The same registry behind a challenge, as public ones are: where the peers pull from. */
  readonly host: string
}

/** A real registry for the peers to stand before; the stack stops it. */
export async function startUpstream(stack: AsyncDisposableStack, directory: string): Promise<Upstream> {
  const registry = await startRegistry(directory)
  stack.defer(() => registry.stop())
  const front = await startUpstreamFront(join(directory, 'upstream'), registry.host)
  stack.defer(() => front.running.stop())
  return { registryHost: registry.host, host: front.host }
}
