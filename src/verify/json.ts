import { isUtf8 } from 'node:buffer'
import { EvidenceError } from './evidence-error.ts'
import { JSON_VALUES_MAX } from './limits.ts'

/** 1 for the bytes that stand before a value in JSON. */
const SEPARATORS = Uint8Array.from({ length: 256 }, (_, byte) =>
  '[{,:'.includes(String.fromCharCode(byte)) ? 1 : 0,
)

/** At least as many as there are values; punctuation inside of strings counts too. */
function countValues(bytes: Uint8Array): number {
  let count = 1
  for (let index = 0; index < bytes.length; index++) count += SEPARATORS[bytes[index] ?? 0] ?? 0
  return count
}

/** Parses JSON that somebody else wrote. Bytes that are not UTF-8 are refused, not replaced. */
export function parseJson(bytes: Buffer, what: string, valuesMax = JSON_VALUES_MAX): unknown {
  // A value takes at least two bytes, so short documents need not be counted.
  if (bytes.length > 2 * valuesMax && countValues(bytes) > valuesMax) {
    throw new EvidenceError('malformed', `${what} has more than ${valuesMax} values`)
  }
  if (!isUtf8(bytes)) throw new EvidenceError('malformed', `${what} is not UTF-8`)
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch (cause) {
    throw new EvidenceError('malformed', `${what} is not JSON`, { cause })
  }
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The value at a path of names and indexes; undefined as soon as one is missing. */
export function at(value: unknown, ...path: readonly (string | number)[]): unknown {
  let current = value
  for (const step of path) {
    if (typeof step === 'number') {
      current = Array.isArray(current) ? current[step] : undefined
    } else {
      current = isRecord(current) && Object.hasOwn(current, step) ? current[step] : undefined
    }
  }
  return current
}

/** Like `at`, for strings; anything else is undefined. */
export function textAt(value: unknown, ...path: readonly (string | number)[]): string | undefined {
  const found = at(value, ...path)
  return typeof found === 'string' ? found : undefined
}

/** Like `at`, for arrays; anything else is empty. */
export function listAt(value: unknown, ...path: readonly (string | number)[]): readonly unknown[] {
  const found = at(value, ...path)
  return Array.isArray(found) ? found : []
}

/** Whether nothing in it lies more than so many levels deep. */
export function isShallow(json: unknown, depthMax: number): boolean {
  if (typeof json !== 'object' || json === null) return true
  return depthMax > 0 && Object.values(json).every((one) => isShallow(one, depthMax - 1))
}
