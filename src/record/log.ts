import { pino, type Logger } from 'pino'
import type { LogOutput } from './log-output.ts'
import { RequestLog } from './request-log.ts'

export type { Logger } from 'pino'

/** Where secrets could turn up in a logged object. */
const REDACTED = [
  'password',
  'token',
  'authorization',
  '*.password',
  '*.token',
  '*.authorization',
  'headers.authorization',
  'headers.cookie',
]

/**
 * One JSON line an event. `requests` is for the one line of every request, whose fields are all chosen here and hold no
 * secret: looking for some in it would cost as much as the rest of the answer.
 */
export function createLogs(
  level: string,
  output: LogOutput,
  now: () => Date,
): { log: Logger; requests: RequestLog } {
  const time = isoTime(now)
  const log = pino(
    {
      level,
      base: { service: 'portcullis' },
      timestamp: () => `,"time":"${time()}"`,
      formatters: { level: (label: string) => ({ level: label }) },
      redact: { paths: REDACTED, censor: '[redacted]' },
    },
    output,
  )
  return { log, requests: new RequestLog(output, time, log.isLevelEnabled('info')) }
}

/** Spelled out once a millisecond: a busy proxy writes dozens of lines in one. */
function isoTime(now: () => Date): () => string {
  let spelled = Number.NaN
  let text = ''
  return () => {
    const time = now()
    if (time.getTime() !== spelled) {
      spelled = time.getTime()
      text = time.toISOString()
    }
    return text
  }
}
