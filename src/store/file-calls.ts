import * as fs from 'node:fs'

/** What reading a file takes of the system, by its descriptor. */
export type FileCalls = {
  readonly open: (path: string) => Promise<number> | number
  /** In bytes. */
  readonly size: (descriptor: number) => Promise<number> | number
  /** Into the beginning of `block`. Gives how many bytes that were, at least one but at the end of the file. */
  readonly read: (descriptor: number, block: Buffer, position: number) => Promise<number> | number
  readonly close: (descriptor: number) => Promise<void> | void
}

/** The same calls, made by a thread of the pool or by the thread that asks. */
export type FileWays = { readonly byThread: FileCalls; readonly atOnce: FileCalls }

const byThread: FileCalls = {
  open: (path) => called((done) => fs.open(path, 'r', done)),
  size: async (descriptor) => (await called<fs.Stats>((done) => fs.fstat(descriptor, done))).size,
  read: (descriptor, block, position) =>
    called((done) => fs.read(descriptor, block, 0, block.length, position, done)),
  close: (descriptor) => called((done) => fs.close(descriptor, (error) => done(error, undefined))),
}

/** By descriptors and not by node:fs/promises, whose files are closed by a thread and by nobody else. */
export const NODE_FILE_WAYS: FileWays = {
  byThread,
  atOnce: {
    open: (path) => fs.openSync(path, 'r'),
    size: (descriptor) => fs.fstatSync(descriptor).size,
    read: (descriptor, block, position) => fs.readSync(descriptor, block, 0, block.length, position),
    // Where another process has evicted the file, to close it is to free all its blocks on the disk.
    close: (descriptor) =>
      fs.fstatSync(descriptor).nlink === 0 ? byThread.close(descriptor) : fs.closeSync(descriptor),
  },
}

/** As DiskWatchOptions asks: proc_pid_io(5). Not there but on Linux, nor for a process that nobody may look into. */
export function diskBytesOfThread(): number {
  try {
    return Number(/^read_bytes: (\d+)$/m.exec(fs.readFileSync('/proc/thread-self/io', 'latin1'))?.[1])
  } catch {
    return NaN
  }
}

function called<T>(call: (done: (error: Error | null | undefined, value: T) => void) => void): Promise<T> {
  return new Promise((resolve, reject) =>
    call((error, value) => (error instanceof Error ? reject(error) : resolve(value))),
  )
}
