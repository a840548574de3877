import { UpstreamError } from './types.ts'

/** Waits for work that others share: an abort ends this wait and leaves the work alone. */
export function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const give = (): void => reject(new UpstreamError('deadline', 'the deadline passed'))
    if (signal.aborted) give()
    signal.addEventListener('abort', give, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', give))
  })
}
