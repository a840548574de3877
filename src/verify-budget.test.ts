import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { DeadlineError } from './deadline.ts'
import { BudgetError, withinBudgets } from './verify-budget.ts'

const SHORT = { policy: 'short', ms: 100 }
const LONG = { policy: 'long', ms: 900 }

/** Time passes where a test says so, and only then. */
function setUp({ isLimited = true, holds = [] as readonly string[] } = {}) {
  const deadline = new AbortController()
  const asked: number[] = []
  const work = Promise.withResolvers<string>()
  let pass: () => void = () => undefined
  const wait = withinBudgets(work.promise, {
    patience: { budgets: [SHORT, LONG], isLimited },
    deadline: deadline.signal,
    after(ms) {
      asked.push(ms)
      const limit = new AbortController()
      pass = () => limit.abort()
      return limit.signal
    },
    isHeldAfter: ({ policy }) => holds.includes(policy),
  })
  wait.catch(() => undefined)
  /** Once around, so that whoever waits has gone on. */
  const passOne = async (): Promise<void> => {
    pass()
    await nextTurn()
  }
  return { wait, work, deadline, asked, passOne }
}

const within = (policy: string) => (error: unknown) =>
  error instanceof BudgetError && error.budget.policy === policy

test('what is there in time is all that matters', async () => {
  const { wait, work, asked } = setUp({ holds: ['short'] })
  work.resolve('verdict')
  assert.equal(await wait, 'verdict')
  assert.deepEqual(asked, [100])
})

test('where the first policy holds what is late, the wait ends with its budget', async () => {
  const { wait, passOne } = setUp({ holds: ['short'] })
  await passOne()
  await assert.rejects(wait, within('short'))
})

test('where it does not, the others still count: to the end of the last', async () => {
  const { wait, asked, passOne } = setUp()
  await passOne()
  assert.deepEqual(asked, [100, 900])
  await passOne()
  await assert.rejects(wait, within('long'))
})

test('a verdict between two budgets is the verdict', async () => {
  const { wait, work, passOne } = setUp()
  await passOne()
  work.resolve('verdict')
  assert.equal(await wait, 'verdict')
})

test('what has no budget is waited for to the deadline', async () => {
  const { wait, deadline, passOne } = setUp({ isLimited: false })
  await passOne()
  await passOne()
  deadline.abort()
  await assert.rejects(wait, (error) => error instanceof DeadlineError && !(error instanceof BudgetError))
})

test('a deadline before the first budget is the deadline', async () => {
  const { wait, deadline } = setUp({ holds: ['short'] })
  deadline.abort()
  await assert.rejects(wait, (error) => error instanceof DeadlineError && !(error instanceof BudgetError))
})

test('work that fails is told as it failed, and its budget is not asked for', async () => {
  const { wait, work } = setUp({ holds: ['short'] })
  work.reject(new TypeError('broken'))
  await assert.rejects(wait, TypeError)
})

test('what is late says how late, by whose budget, and that it goes on', () => {
  assert.equal(
    new BudgetError(SHORT).message,
    'no verdict within 100 ms, the verifyBudget of policy short; verification goes on',
  )
})
