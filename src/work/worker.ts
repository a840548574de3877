import { LRUCache } from 'lru-cache'
import { ManifestError } from '../oci/manifest-error.ts'
import { parseManifest } from '../oci/manifest.ts'
import { readTrustRoot } from '../verify/trust-root.ts'
import type { CandidateResult, TrustRoot } from '../verify/types.ts'
import { verifyCandidate } from '../verify/verify.ts'
import {
  asBuffer,
  toCandidate,
  toPublicKey,
  type ManifestTask,
  type ManifestTaskResult,
  type VerifyTask,
} from './task.ts'

const ROOTS_MAX = 16

type Handlers = {
  readonly verify: (task: VerifyTask) => CandidateResult
  readonly manifest: (task: ManifestTask) => ManifestTaskResult
}

function createHandlers(): Handlers {
  // Reading a trust root takes longer than most verifications.
  const roots = new LRUCache<string, TrustRoot>({ max: ROOTS_MAX })

  function rootOf({ name, version, json }: VerifyTask['roots'][number]): TrustRoot {
    const key = `${name} ${version}`
    const known = roots.get(key)
    if (known !== undefined) return known
    const root = readTrustRoot(name, json)
    if ('problem' in root) throw new TypeError(`trust root ${name}: ${root.problem}`)
    roots.set(key, root)
    return root
  }

  return {
    verify(task) {
      const input = { subject: task.subject, roots: task.roots.map(rootOf), keys: task.keys.map(toPublicKey) }
      const artifact = task.artifact === undefined ? {} : { artifact: asBuffer(task.artifact) }
      return verifyCandidate(toCandidate(task), { ...input, ...artifact })
    },
    manifest({ bytes, contentType }) {
      try {
        return { ok: true, manifest: parseManifest(asBuffer(bytes), contentType) }
      } catch (error) {
        if (!(error instanceof ManifestError)) throw error
        return { ok: false, code: error.code, message: error.message }
      }
    },
  }
}

/** The functions that a thread of the pool runs, by name. */
export const { verify, manifest } = createHandlers()
