import { DeadlineError, withDeadline } from './deadline.ts'
import type { Budget, Patience } from './policy/patience.ts'

/** A policy's budget has passed, and with it the wait; the work goes on. */
export class BudgetError extends DeadlineError {
  readonly budget: Budget

  constructor(budget: Budget) {
    super(
      `no verdict within ${budget.ms} ms, the verifyBudget of policy ${budget.policy}; verification goes on`,
    )
    this.budget = budget
  }
}

/** One request's time. */
export type Waiting = {
  readonly patience: Pick<Patience, 'budgets' | 'isLimited'>
  /** The end of all patience. */
  readonly deadline: AbortSignal
  /** Aborts so many milliseconds after the request began. */
  readonly after: (ms: number) => AbortSignal
  /** Whether what is late by this budget is held, so that nothing after it can change the answer. */
  readonly isHeldAfter: (budget: Budget) => boolean
}

/**
 * Waits as long as the verdict may still change the answer: to the first budget of a policy that holds what is late, or
 * to the last where none does. Stops waiting, not working. Rejects with BudgetError or DeadlineError.
 */
export async function withinBudgets<T>(work: Promise<T>, waiting: Waiting): Promise<T> {
  const { patience, deadline, after, isHeldAfter } = waiting
  for (const budget of patience.budgets) {
    const passed = after(budget.ms)
    try {
      // oxlint-disable-next-line no-await-in-loop -- one wait after the other
      return await withDeadline(work, AbortSignal.any([deadline, passed]))
    } catch (error) {
      if (!(error instanceof DeadlineError) || deadline.aborted) throw error
      const isLast = patience.isLimited && budget === patience.budgets.at(-1)
      if (isLast || isHeldAfter(budget)) throw new BudgetError(budget)
    }
  }
  return await withDeadline(work, deadline)
}
