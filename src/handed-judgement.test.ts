import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { deserialize, serialize } from 'node:v8'
import { HandedJudgements, type HandedImage, type HandedJudgement } from './handed-judgement.ts'
import type { Judged } from './judge.ts'
import { KeptJudgements } from './kept-judgements.ts'
import type { Closure } from './closure.ts'
import { digestOf } from './oci/digest.ts'
import type { ManifestReference, Repository } from './oci/reference.ts'
import type { Judgement, PolicyResult } from './policy/types.ts'
import { NOTHING_SIGNED } from './signing.ts'

const APP: Repository = { registry: 'ghcr.io', name: 'acme/app' } as Repository
const DIGEST = digestOf(Buffer.from('image'))
const BY_TAG = { kind: 'tag', tag: 'v1' } as ManifestReference
const BY_DIGEST: ManifestReference = { kind: 'digest', digest: DIGEST }

const SATISFIED: PolicyResult = {
  policy: 'signed',
  version: 'v',
  mode: 'enforce',
  modes: { fallback: 'enforce', byRing: new Map([['canary', 'observe']]) },
  stance: 'closed',
  verdict: { kind: 'satisfied', by: [{ authority: 'release', signer: undefined, verified: [] }] },
} as never

const JUDGED: Judged = {
  digest: DIGEST,
  judgement: { results: [SATISFIED] },
  coveredBy: undefined,
  isEvidence: false,
  closure: { children: [], blobs: [DIGEST], isEvidence: false },
  retiring: [],
  signing: NOTHING_SIGNED,
  isWhole: true,
  timings: { fetch: 1.5 },
  policyVersion: 'p',
  trustVersion: 't',
} as never

/** One process, with a clock of its own. */
function startProcess(elapsedMs: number) {
  const state = {
    elapsedMs,
    epoch: 'now',
    support: 'one',
    tag: DIGEST as typeof DIGEST | undefined,
    manifest: undefined as unknown,
  }
  const elapsed = (): number => state.elapsedMs
  const kept = new KeptJudgements({ max: 10, elapsed, now: () => new Date(0) })
  const epoch = () => ({ key: state.epoch }) as never
  const reconsidered: string[] = []
  const judge = {
    kept,
    reconsider: (_: Repository, digests: readonly string[]) => void reconsidered.push(...digests),
    known: (repository: Repository, digest: typeof DIGEST) =>
      kept.get({ epoch: epoch(), repository, digest })?.judged,
  }
  const admitted: Judgement[] = []
  const closures = new Map<string, Closure>()
  const parents = (kind: 'children' | 'blobs') => (_: Repository, digest: typeof DIGEST) =>
    [...closures].flatMap(([parent, closure]) => (closure[kind].includes(digest) ? [parent as never] : []))
  let written = 0
  const handed = new HandedJudgements({
    epoch,
    judge,
    gate: {
      admittedLately: () => admitted[0],
      noteAdmitted: (_, __, judgement) => void admitted.push(judgement),
    },
    manifests: { inMemory: () => state.manifest as never },
    state: {
      addClosure(_, parent, closure) {
        written += 1
        closures.set(parent, closure)
      },
      parentsOfBlob: parents('blobs'),
      parentsOfManifest: parents('children'),
      getTag: () => (state.tag === undefined ? undefined : { digest: state.tag, checkedAt: new Date(0) }),
    },
    supportFor: () => state.support,
    elapsed,
  })
  const subject = () => ({ epoch: epoch(), repository: APP, digest: DIGEST })
  const judged = () => judge.known(APP, DIGEST)
  const seen = { closures, reconsidered, admitted, written: () => written }
  return Object.assign(state, { handed, kept, subject, judged, ...seen })
}

type Process = ReturnType<typeof startProcess>
const FOR_GOOD = { judged: JUDGED, until: undefined, endsAtMs: undefined }

function sent<T extends HandedJudgement | HandedImage>(told: T | undefined): T {
  assert.ok(told !== undefined)
  return deserialize(serialize(told))
}

describe('a judgement that is handed to another process', () => {
  test('counts there as here', () => {
    const [one, other] = [startProcess(1_000), startProcess(50)]
    one.kept.set(one.subject(), FOR_GOOD)
    for (const reference of [BY_TAG, BY_DIGEST]) assert.equal(other.handed.isKnown(APP, reference), false)
    other.handed.take(APP, sent(one.handed.give(APP, BY_TAG)))
    for (const reference of [BY_TAG, BY_DIGEST]) assert.equal(other.handed.isKnown(APP, reference), true)
    assert.deepEqual(other.judged(), JUDGED)
    other.elapsedMs += 1e9
    assert.deepEqual(other.judged(), JUDGED, 'for good')
  })

  test('shares what it has in common with others', () => {
    const [one, other] = [startProcess(0), startProcess(0)]
    one.kept.set(one.subject(), FOR_GOOD)
    other.handed.take(APP, sent(one.handed.give(APP, BY_DIGEST)))
    const first = other.judged()?.judgement.results
    other.handed.take(APP, sent(one.handed.give(APP, BY_DIGEST)))
    assert.equal(other.judged()?.judgement.results, first)
  })

  for (const [what, happens, isKnown] of [
    ['nothing happens', () => undefined, true],
    ['its time is not over', ({ other }) => (other.elapsedMs += 30), true],
    ['its time is over, counted from when it was judged', ({ other }) => (other.elapsedMs += 31), false],
    ['policies have changed there', ({ other }) => (other.epoch = 'next'), false],
    ['more speaks for the image since', ({ other }) => (other.support = 'two'), false],
  ] as readonly (readonly [string, (processes: { one: Process; other: Process }) => unknown, boolean])[])
    test(`one that does not last is ${isKnown ? 'known' : 'not known'} when ${what}`, () => {
      const [one, other] = [startProcess(1_000), startProcess(5)]
      const isOutdone = () => one.support !== 'one'
      one.kept.set(one.subject(), { judged: JUDGED, until: 1_100, endsAtMs: undefined, isOutdone })
      one.elapsedMs += 70
      other.handed.take(APP, sent(one.handed.give(APP, BY_DIGEST)))
      happens({ one, other })
      assert.equal(other.handed.isKnown(APP, BY_DIGEST), isKnown)
    })

  test('is none in another epoch', () => {
    const [one, other] = [startProcess(0), startProcess(0)]
    one.kept.set(one.subject(), FOR_GOOD)
    other.epoch = 'next'
    other.handed.take(APP, sent(one.handed.give(APP, BY_DIGEST)))
    assert.equal(other.judged(), undefined)
    other.epoch = 'now'
    assert.equal(other.judged(), undefined)
  })

  test('is none where nothing is known, the tag stands for nothing, or more speaks for it by now', () => {
    const one = startProcess(0)
    assert.equal(one.handed.give(APP, BY_DIGEST), undefined)
    one.kept.set(one.subject(), { ...FOR_GOOD, until: 10, isOutdone: () => one.support !== 'one' })
    assert.notEqual(one.handed.give(APP, BY_TAG), undefined)
    one.support = 'two'
    assert.equal(one.handed.give(APP, BY_TAG), undefined)
    one.support = 'one'
    one.tag = undefined
    assert.equal(one.handed.give(APP, BY_TAG), undefined)
  })
})

const [CHILD, BLOB] = [digestOf(Buffer.from('child')), digestOf(Buffer.from('blob'))]
const IMAGE: Closure = { children: [], blobs: [BLOB], isEvidence: false }
const INDEX: Closure = { children: [CHILD], blobs: [], isEvidence: false }

describe('an image that another process let through', () => {
  for (const [what, closure] of [
    ['image', IMAGE],
    ['index', INDEX],
  ] as const)
    test(`lets out what it names here, too, and is written once: ${what}`, () => {
      const [one, other] = [startProcess(0), startProcess(0)]
      one.manifest = { parsed: { ok: true, facts: { ...closure, config: 'no need of it' } } }
      const told = sent(one.handed.giveImage(APP, DIGEST))
      assert.deepEqual(told, { digest: DIGEST, closure, admitted: undefined })
      other.handed.takeImage(APP, told)
      other.handed.takeImage(APP, told)
      assert.deepEqual([...other.closures], [[DIGEST, closure]])
      assert.equal(other.written(), 1)
      assert.deepEqual(new Set(other.reconsidered), new Set(closure.children))
    })

  test('is none whose bytes are not at hand', () => {
    assert.equal(startProcess(0).handed.giveImage(APP, DIGEST), undefined)
  })

  for (const [epoch, isNoted] of [
    ['now', true],
    ['next', false],
  ] as const)
    test(`that nobody could judge is ${isNoted ? '' : 'not '}admitted here in epoch ${epoch}`, () => {
      const [one, other] = [startProcess(0), startProcess(0)]
      one.manifest = { parsed: { ok: true, facts: IMAGE } }
      one.admitted.push({ results: [] })
      other.epoch = epoch
      other.handed.takeImage(APP, sent(one.handed.giveImage(APP, DIGEST)))
      assert.deepEqual(other.admitted, isNoted ? [{ results: [] }] : [])
    })
})
