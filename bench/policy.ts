import { performance } from 'node:perf_hooks'
import { decodeFindings, encodeFindings } from '../src/findings.ts'
import { digestOf } from '../src/oci/digest.ts'
import { bindPolicies } from '../src/policy/bind.ts'
import { decide } from '../src/policy/decide.ts'
import { policiesFor, revocationsFor } from '../src/policy/policy-index.ts'
import type { ImageFacts } from '../src/policy/types.ts'
import type { StoredFindings } from '../src/store/types.ts'
import type { Verified } from '../src/verify/types.ts'
import { quantile, tableOf, timeUs } from './measure.ts'
import { evidenceOf, loadOrganisation, NOW, repositoryOf } from './organisation.ts'

/** How long it takes to judge known images by a large registry of policies. No network, no crypto, no disk. */

const POLICIES = 10_000
const REVOCATIONS = 100
const DIGESTS = 100_000

type Known = { readonly image: ImageFacts; readonly stored: StoredFindings }
type Judged = { readonly image: ImageFacts; readonly verified: readonly Verified[] }

function knownOf(index: number, size: number): Known {
  const repository = repositoryOf(1 + (index % (size - 1)))
  const digest = digestOf(Buffer.from(`image ${index}`))
  const found = { verified: evidenceOf(repository, digest), failures: [], manifestReasons: [] }
  return {
    image: { registry: 'ghcr.io', name: `acme/${repository}`, digest },
    stored: encodeFindings(found, 'root public-good sha256:1'),
  }
}

function nameOf({ registry, name }: ImageFacts): string {
  return `${registry}/${name}`
}

const row = tableOf(46, 11)

/** Microseconds of each call, for all images once; the first tenth warms up and is not counted. What `prepare` takes is not measured. */
function measure<T>(
  label: string,
  known: readonly Known[],
  prepare: (one: Known) => T,
  run: (input: T) => unknown,
): void {
  const tookUs = new Float64Array(known.length)
  for (const [index, one] of known.entries()) {
    const input = prepare(one)
    tookUs[index] = timeUs(() => run(input))
  }
  const counted = tookUs.subarray(Math.floor(known.length / 10))
  const at = (share: number): string => quantile(counted, share).toFixed(1)
  const totalUs = tookUs.reduce((sum, one) => sum + one, 0)
  console.log(row(label, at(0.5), at(0.99), (totalUs / 1e6).toFixed(1)))
}

/** Matches, decodes and decides by `size` policies, and prints how long each takes. */
export function benchPolicy(size: number): void {
  const start = performance.now()
  const loaded = loadOrganisation(size, REVOCATIONS)
  const loadedMs = performance.now() - start
  const trust = { roots: new Map([['public-good', true]]), unusable: new Map(), keys: new Map() }
  const set = bindPolicies(loaded, trust)
  const boundMs = performance.now() - start - loadedMs
  const known = Array.from({ length: DIGESTS }, (_, index) => knownOf(index, size))
  const judge = ({ image, verified }: Judged): boolean => {
    const name = nameOf(image)
    const found = { verified, failures: [], missing: [], manifestReasons: [] }
    const rules = { policies: policiesFor(set, name), revocations: revocationsFor(set, name) }
    const { results } = decide({ ...rules, ...found, image, now: NOW, unmatched: set.unmatched })
    return results.every(({ verdict }) => verdict.kind === 'satisfied')
  }
  const decoded = ({ image, stored }: Known): Judged => {
    return { image, verified: decodeFindings(stored)?.verified ?? [] }
  }
  const [one] = known.map(decoded).filter((image) => !judge(image))
  if (one !== undefined) throw new Error(`${nameOf(one.image)} is not satisfied`)
  console.log(`\n${size} policies, ${REVOCATIONS} revocations, ${DIGESTS} digests, all satisfied`)
  console.log(`loaded in ${(loadedMs / 1000).toFixed(1)} s, bound to new trust in ${boundMs.toFixed(0)} ms`)
  console.log(row('microseconds', 'median', 'p99', 'all (s)'))
  const asStored = (image: Known): Known => image
  measure('match', known, asStored, ({ image }) => policiesFor(set, nameOf(image)))
  measure('decode stored findings', known, asStored, decoded)
  measure('match and decide', known, decoded, judge)
  measure('decode, match and decide', known, asStored, (image) => judge(decoded(image)))
}

if (import.meta.main) for (const size of [100, POLICIES]) benchPolicy(size)
