import { LRUCache } from 'lru-cache'
import { readReferrerList } from '../discover/referrer-list.ts'
import { isEvidenceBlob } from '../oci/evidence-blob.ts'
import { ManifestError } from '../oci/manifest-error.ts'
import { parseManifest } from '../oci/manifest.ts'
import { mergeReferrers } from '../oci/referrers.ts'
import { readTrustRoot } from '../verify/trust-root.ts'
import type { TrustRoot } from '../verify/types.ts'
import { verifyCandidate } from '../verify/verify.ts'
import { asBuffer, toCandidate, toPublicKey, type Jobs, type TaskResult, type VerifyTask } from './task.ts'

const ROOTS_MAX = 16

function createJobs(): Jobs {
  // Reading a trust root takes longer than most verifications.
  const roots = new LRUCache<string, TrustRoot>({ max: ROOTS_MAX })

  function rootOf({ name, kind, version, json, isRetiring }: VerifyTask['roots'][number]): TrustRoot {
    const key = `${name} ${version}`
    const known = roots.get(key)
    if (known !== undefined) return { ...known, isRetiring }
    const root = readTrustRoot(name, json, kind)
    if ('problem' in root) throw new TypeError(`trust root ${name}: ${root.problem}`)
    roots.set(key, root)
    return { ...root, isRetiring }
  }

  return {
    verify(task) {
      const input = { subject: task.subject, roots: task.roots.map(rootOf), keys: task.keys.map(toPublicKey) }
      const artifact = task.artifact === undefined ? {} : { artifact: asBuffer(task.artifact) }
      const logs = task.logsToAsk === undefined ? {} : { logsToAsk: task.logsToAsk }
      return verifyCandidate(toCandidate(task), { ...input, ...artifact, ...logs })
    },
    manifest: ({ bytes, contentType }) => attempt(() => parseManifest(asBuffer(bytes), contentType)),
    referrers: (bytes) => readReferrerList(asBuffer(bytes)),
    listing: ({ lists, artifactType }) => attempt(() => mergeReferrers(lists.map(asBuffer), artifactType)),
    evidence: (bytes) => isEvidenceBlob(asBuffer(bytes)),
  }
}

function attempt<T>(parse: () => T): TaskResult<T> {
  try {
    return { ok: true, value: parse() }
  } catch (error) {
    if (!(error instanceof ManifestError)) throw error
    return { ok: false, code: error.code, message: error.message }
  }
}

/** The functions that a thread of the pool runs, by name. */
export const { verify, manifest, referrers, listing, evidence } = createJobs()
