import { join } from 'node:path'
import type { Finding } from '../policy/problem.ts'

/** Where cold workers listen: in a directory that nobody else may enter. */

/** Bytes that the address of a socket takes on every system (sun_path: 108 on Linux, 104 elsewhere, with a zero at its end). */
const PATH_BYTES_MAX = 103

type Wanted = { readonly dataDirectory: string; readonly coldWorkers: number }

export function coldDirectory({ dataDirectory }: Pick<Wanted, 'dataDirectory'>): string {
  return join(dataDirectory, 'cold')
}

/** One for each of them. */
export function coldSockets(wanted: Wanted): readonly string[] {
  const directory = coldDirectory(wanted)
  return Array.from({ length: wanted.coldWorkers }, (_, index) => join(directory, String(index + 1)))
}

export function checkColdSockets(wanted: Wanted): readonly Finding[] {
  const tooLong = Math.max(0, ...coldSockets(wanted).map((path) => Buffer.byteLength(path) - PATH_BYTES_MAX))
  if (tooLong === 0) return []
  const bytesMax = Buffer.byteLength(wanted.dataDirectory) - tooLong
  const message = `found a path of ${Buffer.byteLength(wanted.dataDirectory)} bytes; expected at most ${bytesMax}, since coldWorkers listen on sockets in it`
  return [{ path: ['dataDirectory'], message }]
}
