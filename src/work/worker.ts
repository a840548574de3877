import { getPriority, setPriority } from 'node:os'
import { isMainThread } from 'node:worker_threads'
import { LRUCache } from 'lru-cache'
import { readReferrerList } from '../discover/referrer-list.ts'
import { isEvidenceBlob } from '../oci/evidence-blob.ts'
import { ManifestError } from '../oci/manifest-error.ts'
import { parseManifest } from '../oci/manifest.ts'
import { mergeReferrers } from '../oci/referrers.ts'
import { readTrustRoot } from '../verify/trust-root.ts'
import type { Candidate, PublicKey, TrustRoot } from '../verify/types.ts'
import { verificationSteps, verifyCandidate, type SubjectInput } from '../verify/verify.ts'
import {
  asBuffer,
  textOf,
  toCandidate,
  toPublicKey,
  type Jobs,
  type KeyData,
  type RootData,
  type TaskResult,
  type VerifyTask,
} from './task.ts'

const ROOTS_MAX = 16
const KEYS_MAX = 1024
/** What the light ones may take together, by the verifier's own estimate of the worst case. */
const LIGHT_US_MAX = 20_000
/** Who is served from memory comes before who waits for a verification anyway. */
const NICE = 5

function createJobs(): Jobs {
  // Reading a trust root takes longer than most verifications.
  const roots = new LRUCache<string, TrustRoot>({ max: ROOTS_MAX })
  const keys = new LRUCache<string, PublicKey>({ max: KEYS_MAX })

  function rootOf({ name, kind, version, json, isRetiring }: RootData): TrustRoot {
    const key = `${name} ${version}`
    const known = roots.get(key)
    if (known !== undefined) return { ...known, isRetiring }
    const root = readTrustRoot(name, textOf(json), kind)
    if ('problem' in root) throw new TypeError(`trust root ${name}: ${root.problem}`)
    roots.set(key, root)
    return { ...root, isRetiring }
  }

  function keyOf(data: KeyData): PublicKey {
    const name = `${data.id} ${JSON.stringify(data.scheme)}`
    const key = keys.get(name) ?? toPublicKey(data)
    keys.set(name, key)
    return key
  }

  function questionOf(task: VerifyTask): [Candidate, SubjectInput] {
    const input = { subject: task.subject, roots: task.roots.map(rootOf), keys: task.keys.map(keyOf) }
    const artifact = task.artifact === undefined ? {} : { artifact: asBuffer(task.artifact) }
    const logs = task.logsToAsk === undefined ? {} : { logsToAsk: task.logsToAsk }
    return [toCandidate(task), { ...input, ...artifact, ...logs }]
  }

  return {
    verify: (task) => verifyCandidate(...questionOf(task)),
    verifyLight(task) {
      const steps = verificationSteps(...questionOf(task))
      for (let leftUs = LIGHT_US_MAX; ;) {
        const step = steps.next()
        if (step.done === true) return step.value
        leftUs -= step.value
        if (leftUs < 0) return 'heavy'
      }
    },
    wake: () => undefined,
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

// Of a thread on Linux, and of nothing but a whole process elsewhere (setpriority(2), "C library/kernel differences").
if (!isMainThread && process.platform === 'linux' && getPriority(0) < NICE) setPriority(0, NICE)

/** The functions that a thread of the pool runs, by name. */
export const { verify, verifyLight, wake, manifest, referrers, listing, evidence } = createJobs()
