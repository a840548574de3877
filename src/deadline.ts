/** The caller's patience has ended; the work has not. */
export class DeadlineError extends Error {
  override readonly name = 'DeadlineError'
}

/** Stops waiting, not working: the promise goes on for whoever asks next. Rejects with DeadlineError. */
export async function withDeadline<T>(work: Promise<T>, deadline: AbortSignal): Promise<T> {
  const late = Promise.withResolvers<never>()
  const onAbort = () => late.reject(new DeadlineError('not verified in time; the work goes on'))
  if (deadline.aborted) onAbort()
  deadline.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([work, late.promise])
  } finally {
    deadline.removeEventListener('abort', onAbort)
    late.promise.catch(() => undefined)
    work.catch(() => undefined)
  }
}
