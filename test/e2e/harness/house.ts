import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startPortcullis, type PolicyInput, type Portcullis } from './portcullis.ts'
import { startRegistry, type Door, type RealRegistry } from './registry.ts'

/** A real registry, a door to it that only the proxy knows, and the proxy. */
export type House = {
  readonly directory: string
  readonly registry: RealRegistry
  readonly door: Door
  readonly proxy: Portcullis
  /** Stopped with the house, last one first. */
  readonly stack: AsyncDisposableStack
}

export type HouseInput = {
  readonly policies: readonly PolicyInput[]
  readonly privateTrustRoot?: string
}

/** Short, because a unix socket's path may have 107 characters. */
export async function temporaryDirectory(stack: AsyncDisposableStack): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'pc-e2e-'))
  stack.defer(() => rm(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 }))
  return directory
}

export async function openHouse(stack: AsyncDisposableStack, input: HouseInput): Promise<House> {
  const directory = await temporaryDirectory(stack)
  const registry = await startRegistry(directory)
  stack.defer(() => registry.stop())
  const door = await registry.openDoor()
  const proxy = await startPortcullis({ ...input, directory, upstreamUrl: door.url })
  stack.defer(() => proxy.stop())
  return { directory, registry, door, proxy, stack }
}
