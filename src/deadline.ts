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

/**
 * One limit for all work that begins within `shareMs`, which is that much shorter at most. Node keeps a timeout that other
 * signals depend on in memory until its time has come, however soon the work is done.
 */
export function shareLimit(
  begin: () => AbortSignal,
  { elapsed, shareMs }: { elapsed: () => number; shareMs: number },
): () => AbortSignal {
  let signal: AbortSignal | undefined
  let sinceMs = 0
  return () => {
    const nowMs = elapsed()
    if (signal === undefined || nowMs - sinceMs >= shareMs) {
      signal = begin()
      sinceMs = nowMs
    }
    return signal
  }
}
