import { Readable, Transform } from 'node:stream'
import type { KMSClient } from '@aws-sdk/client-kms'

/** An answer with the largest key has about 3 KiB. */
const ANSWER_BYTES_MAX = 64 * 1024

function limited(body: Readable): Readable {
  let size = 0
  const limit = new Transform({
    transform: (chunk: Buffer, _encoding, done) => {
      size += chunk.length
      if (size <= ANSWER_BYTES_MAX) done(null, chunk)
      else done(new Error(`answered with more than ${ANSWER_BYTES_MAX} bytes`))
    },
  })
  body.once('error', (error) => limit.destroy(error))
  limit.once('close', () => body.destroy())
  // Whoever gave up in the middle listens no more, and an error without a listener would end the process.
  limit.on('error', () => undefined)
  return body.pipe(limit)
}

/** The SDK reads an answer to its end, however far that is. */
export function limitAnswers(client: KMSClient): void {
  client.middlewareStack.add(
    (next) => async (input) => {
      const result = await next(input)
      const { response } = result
      if (typeof response === 'object' && response !== null && 'body' in response) {
        if (response.body instanceof Readable) response.body = limited(response.body)
      }
      return result
    },
    // Low in this step is right above the handler: what is above reads the body.
    { step: 'deserialize', priority: 'low', name: 'limitAnswers' },
  )
}
