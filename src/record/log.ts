import { pino, type DestinationStream, type Logger } from 'pino'

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

/** One JSON line an event. Writes are synchronous to a buffer and flushed by the destination. */
export function createLog(level: string, destination: DestinationStream): Logger {
  return pino(
    {
      level,
      base: { service: 'portcullis' },
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: { paths: REDACTED, censor: '[redacted]' },
      formatters: { level: (label) => ({ level: label }) },
    },
    destination,
  )
}
