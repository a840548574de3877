import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Config } from '../config/schema.ts'
import { createDeps, type Deps } from '../deps.ts'
import type { ImageReference } from '../oci/reference.ts'
import { DEFAULT_RING, type Ring } from '../policy/ring.ts'
import type { PullAnswer } from '../pull.ts'
import { UpstreamError } from '../upstream/types.ts'
import { EXIT, type CommandIo } from './io.ts'

export type PullOnce = {
  readonly image: ImageReference
  readonly config: Config
  /** Undefined: that of clients in no ring. */
  readonly ring: string | undefined
}

/**
 * What the proxy would answer, or, after the reason has been printed, the code to exit with. In a store of its own:
 * nothing that a running proxy has cached colours the answer.
 */
export async function pullOnce(
  { image, config, ring }: PullOnce,
  io: CommandIo,
): Promise<PullAnswer | number> {
  const dataDirectory = await mkdtemp(join(tmpdir(), 'portcullis-verify-'))
  try {
    const created = await createDeps({ ...config, dataDirectory, log: { level: 'silent' } })
    if (!created.ok) {
      io.stderr(created.problems.map((problem) => `${problem}\n`).join(''))
      return EXIT.usage
    }
    try {
      return await pullWith(created.deps, { image, ring }, io)
    } finally {
      await created.deps.close()
    }
  } finally {
    await rm(dataDirectory, { recursive: true, force: true })
  }
}

async function pullWith(
  deps: Deps,
  { image, ring: name }: Omit<PullOnce, 'config'>,
  io: CommandIo,
): Promise<PullAnswer | number> {
  const ring = ringNamed(name ?? DEFAULT_RING, deps)
  if (ring === undefined) {
    const known = [...deps.rings.rings, deps.rings.fallback].map((one) => one.name).join(', ')
    io.stderr(`portcullis: ${name} is no ring of the configuration; expected one of ${known}\n`)
    return EXIT.usage
  }
  try {
    const asked = { ...image, client: 'command line', ring, isRead: true }
    return await deps.puller.pull({ ...asked, deadline: deps.app.deadline })
  } catch (error) {
    if (!(error instanceof UpstreamError)) throw error
    io.stderr(`portcullis: ${error.message}\n`)
    return EXIT.undetermined
  }
}

function ringNamed(name: string, { rings: { rings, fallback } }: Pick<Deps, 'rings'>): Ring | undefined {
  return [...rings, fallback].find((ring) => ring.name === name)
}

export function exitOf({ kind }: PullAnswer): number {
  return kind === 'serve' ? EXIT.ok : kind === 'refuse' ? EXIT.refused : EXIT.undetermined
}
