import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import type { Digest } from './oci/digest.ts'
import { OpenBudget } from './open-budget.ts'
import type { Database } from './store/database.ts'
import { StoreError } from './store/error.ts'
import { openTwice } from './store/testing/shared.ts'
import { digest, repository } from './store/testing/state.ts'
import type { StateStore } from './store/types.ts'
import { newDirectory } from './testing/content-store.ts'

const APP = repository('acme/app')
const [ONE, TWO, THREE] = ['one', 'two', 'three'].map(digest) as [Digest, Digest, Digest]
const MINUTE = 60_000

type Process = {
  readonly budget: OpenBudget
  readonly database: Database
  readonly state: StateStore
  readonly told: string[]
  admit(image: Digest): void
  close(image: Digest): void
}

/** Two processes over one disk, with a budget of two images. */
async function setUpTwo(
  context: TestContext,
  options: Parameters<typeof openTwice>[1] = {},
): Promise<readonly [Process, Process]> {
  const [one, two] = openTwice(await newDirectory(context), options)
  context.after(() => [one, two].forEach(({ state }) => state.close()))
  const processOf = ({ state, database, shared, clock }: typeof one): Process => {
    const told: string[] = []
    const onJudged = (_: unknown, image: Digest, kind: string) => void told.push(`${kind} ${image}`)
    const now = () => new Date(clock.ms)
    const budget = new OpenBudget({
      state,
      now,
      openImagesMax: 2,
      openForMs: 10 * MINUTE,
      others: { ...shared, onJudged },
    })
    return {
      budget,
      database,
      state,
      told,
      admit: (image) =>
        budget.admit({
          repository: APP,
          digest: image,
          policies: ['signed'],
          decision: 'd1',
          client: '10.0.0.1',
        }),
      close(image) {
        const admission = state.openAdmissions().find((other) => other.digest === image)
        assert.ok(admission)
        budget.close(admission, { at: now(), verdict: 'violated', reason: 'a reason' })
      },
    }
  }
  return [processOf(one), processOf(two)]
}

test('what one process lets pass counts for the other, and so does what it turned out to be', async (context) => {
  const [one, two] = await setUpTwo(context)
  one.admit(ONE)
  assert.ok(two.budget.isAdmitted(APP, ONE))
  two.admit(TWO)
  assert.deepEqual([one.budget.noRoomFor(APP, THREE), two.budget.noRoomFor(APP, THREE)], ['images', 'images'])
  assert.deepEqual([one.budget.waiting, two.budget.waiting], [2, 2])
  one.close(ONE)
  assert.ok(!two.budget.isAdmitted(APP, ONE))
  assert.equal(two.budget.noRoomFor(APP, ONE), 'refused')
  assert.equal(two.budget.waiting, 1)
})

test('the last of the budget is not spent twice, however it was found to be there', async (context) => {
  const [one, two] = await setUpTwo(context)
  one.admit(ONE)
  assert.deepEqual([one.budget.noRoomFor(APP, TWO), two.budget.noRoomFor(APP, THREE)], [undefined, undefined])
  one.admit(TWO)
  assert.throws(() => two.admit(THREE), StoreError)
  assert.ok(!two.budget.isAdmitted(APP, THREE))
  two.admit(TWO)
})

test('what one process judges the others are told, and they tell nobody', async (context) => {
  const [one, two] = await setUpTwo(context)
  one.budget.refuse(APP, ONE)
  two.budget.hear(APP, ONE, 'refused')
  assert.equal(two.budget.noRoomFor(APP, ONE), 'refused')
  one.budget.forgive(APP, ONE)
  two.budget.hear(APP, ONE, 'forgiven')
  assert.equal(two.budget.noRoomFor(APP, ONE), undefined)
  one.budget.forgive(APP, ONE)
  assert.deepEqual([one.told, two.told], [[`refused ${ONE}`, `forgiven ${ONE}`], []])
})

test('what the disk refuses at the very end of it is not admitted, and not spent', async (context) => {
  const [one] = await setUpTwo(context)
  const exec = one.database.exec.bind(one.database)
  const refused = context.mock.method(one.database, 'exec', (sql: string) => {
    if (sql === 'COMMIT') throw Object.assign(new Error('database or disk is full'), { errcode: 13 })
    exec(sql)
  })
  assert.throws(() => one.admit(ONE), StoreError)
  refused.mock.restore()
  assert.deepEqual(one.state.openAdmissions(), [])
  assert.ok(!one.budget.isAdmitted(APP, ONE))
  assert.equal(one.budget.waiting, 0)
  one.admit(TWO)
  one.admit(THREE)
})

test('what one process admits itself it does not read again, and neither of them loses what the other wrote', async (context) => {
  const [one, two] = await setUpTwo(context)
  one.admit(ONE)
  const reads = context.mock.method(one.state, 'admissions')
  one.admit(TWO)
  one.close(TWO)
  assert.ok(one.budget.isAdmitted(APP, ONE))
  assert.equal(reads.mock.callCount(), 0)
  two.close(ONE)
  one.budget.refuse(APP, THREE)
  assert.equal(one.budget.waiting, 0)
})

test('what was forgiven is not refused again because others go on admitting', async (context) => {
  const [one, two] = await setUpTwo(context)
  one.admit(ONE)
  one.close(ONE)
  two.budget.hear(APP, ONE, 'forgiven')
  one.budget.forgive(APP, ONE)
  two.admit(TWO)
  one.close(TWO)
  for (const { budget } of [one, two]) {
    assert.equal(budget.noRoomFor(APP, TWO), 'refused', 'what is found out later counts')
    assert.ok(!budget.wasRefused(APP, ONE))
  }
})

test('nothing else is recorded where another process has spent the last of it', async (context) => {
  const [one, two] = await setUpTwo(context)
  const admission = { repository: APP, digest: ONE, policies: ['signed'], decision: 'd1', client: '10.0.0.1' }
  const recorded: Digest[] = []
  const admit = (image: Digest) =>
    two.budget.admit({ ...admission, digest: image }, () => void recorded.push(image))
  one.admit(ONE)
  admit(TWO)
  assert.throws(() => admit(THREE), StoreError)
  assert.deepEqual(recorded, [TWO])
})

test('the disk has all of an admission, with the decision that it is about, or nothing', async (context) => {
  const [one] = await setUpTwo(context)
  const refused = context.mock.method(one.state, 'admitOpen', () => {
    throw new StoreError('full', 'disk is full')
  })
  const admission = { repository: APP, digest: ONE, policies: ['signed'], decision: 'd1', client: '10.0.0.1' }
  const admit = () =>
    one.budget.admit(admission, () => {
      one.state.recordDecision({ key: 'k', id: 'd1', at: new Date(0), json: 'k', refused: undefined })
    })
  assert.throws(admit, StoreError)
  assert.deepEqual([one.state.openAdmissions(), one.state.decisions(9)], [[], []])
  refused.mock.restore()
  admit()
  assert.deepEqual([one.state.openAdmissions().length, one.state.decisions(9).length], [1, 1])
})

test('what others have told meanwhile outlives an admission that the disk refuses', async (context) => {
  const soon: (() => void)[] = []
  const later = { soon: (work: () => void) => void soon.push(work), eventually: () => undefined }
  const [one, two] = await setUpTwo(context, { later })
  const closure = { children: [TWO], blobs: [], isEvidence: false }
  one.state.addClosure(APP, ONE, closure)
  const written = one.state.written()
  one.database.exec(
    "CREATE TEMP TRIGGER full BEFORE INSERT ON main.admission BEGIN SELECT RAISE(ABORT, 'full'); END",
  )
  assert.throws(() => one.admit(THREE), StoreError)
  for (const write of soon) write()
  await written
  assert.deepEqual(one.state.parentsOfManifest(APP, TWO), [ONE])
  assert.deepEqual(two.state.parentsOfManifest(APP, TWO), [ONE])
})
