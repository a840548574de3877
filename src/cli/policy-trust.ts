import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Config } from '../config/schema.ts'
import type { TrustRootEntry } from '../config/trust-schema.ts'
import { openTrust, type OpenTrustOptions } from '../trust/open.ts'
import type { TrustSnapshot } from '../trust/snapshot.ts'

/** Trust that is at hand without network and without the data directory, which a running proxy may have open. */

const SILENT: OpenTrustOptions['listener'] = {
  onKeeper: () => undefined,
  onMirror: () => undefined,
  onKey: () => undefined,
}

/** The key sets of the configuration, with the windows of their keys. Rejects with TrustError. */
export async function openKeySets(config: Config, now: () => Date): Promise<TrustSnapshot['keys']> {
  const roots = [...config.trust.roots].filter(([, { kind }]) => kind === 'keys')
  return (await open(config, new Map(roots), { now, dataDirectory: config.dataDirectory })).keys
}

/**
 * Those, and every trust root whose document is configured, built in, or named in `documents`: one that comes by TUF is
 * not. Rejects with TrustError.
 */
export async function openPinned(
  config: Config,
  documents: ReadonlyMap<string, string>,
  now: () => Date,
): Promise<TrustSnapshot> {
  const configured = [...config.trust.roots].filter(([, { kind }]) => kind !== 'tuf')
  const named = [...documents].map(([name, path]): [string, TrustRootEntry] => [
    name,
    { kind: 'pinned', path },
  ])
  const dataDirectory = await mkdtemp(join(tmpdir(), 'portcullis-policy-test-'))
  try {
    return await open(config, new Map([...configured, ...named]), { now, dataDirectory })
  } finally {
    await rm(dataDirectory, { recursive: true, force: true })
  }
}

async function open(
  { trust }: Config,
  roots: Config['trust']['roots'],
  { now, dataDirectory }: { readonly now: () => Date; readonly dataDirectory: string },
): Promise<TrustSnapshot> {
  // Nothing is renewed here, so nothing goes by these.
  const still = { elapsed: () => 0, random: () => 0 }
  const opened = await openTrust(
    { trust: { ...trust, roots }, dataDirectory },
    { ...still, references: [], listener: SILENT, now },
  )
  const { snapshot } = opened.keeper
  await opened.close()
  return snapshot
}
