import { write, writeSync } from 'node:fs'
import type { LogFile } from './log-queue.ts'

const DESCRIPTOR = 1
/** A pipe that is full says so instead of waiting, where somebody who shares it wants it so. */
const FULL_PIPE_WAIT_MS = 10
const FULL_PIPE_TRIES = 100

/** Not by process.stdout, which holds everything up while a file or a pipe takes what is written. */
export function standardOutput(): LogFile {
  return {
    write: (bytes, done) => write(DESCRIPTOR, bytes, done),
    writeSync(bytes) {
      for (let tries = 1; ; tries += 1) {
        try {
          return writeSync(DESCRIPTOR, bytes)
        } catch (error) {
          const isFull = error instanceof Error && 'code' in error && error.code === 'EAGAIN'
          if (!isFull || tries === FULL_PIPE_TRIES) throw error
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, FULL_PIPE_WAIT_MS)
        }
      }
    },
  }
}
