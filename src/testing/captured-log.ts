import { LogOutput } from '../record/log-output.ts'

/** A log that hands on each line as soon as it is told. */
export function capturedLog(onLine: (line: string) => void): LogOutput {
  const take = (bytes: Buffer): number => {
    onLine(bytes.toString())
    return bytes.length
  }
  const output = new LogOutput({
    file: { write: (bytes, done) => done(null, take(bytes)), writeSync: take },
    later: () => undefined,
    onDropped: () => undefined,
  })
  output.closeSync()
  return output
}
