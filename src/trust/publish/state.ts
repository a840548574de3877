import * as z from 'zod'
import { PublishError, reasonOf } from './error.ts'

const lifetimes = z.strictObject({
  root: z.int().positive(),
  targets: z.int().positive(),
  snapshot: z.int().positive(),
  timestamp: z.int().positive(),
})

const signer = z.strictObject({
  /** `awskms://…` or an absolute path. */
  reference: z.string().min(1),
  /** The end of the window in which its successor is listed beside it. */
  retireAfter: z.iso.datetime().optional(),
  /** Somebody said that it is lost or stolen; see `lostKeys` for when that counts. */
  isLost: z.literal(true).optional(),
})

const state = z.strictObject({
  format: z.literal(1),
  /** Milliseconds from signing to `expires`. */
  lifetimesMs: lifetimes,
  /** By key ID. Which roles a key has is said by the root alone. */
  signers: z.record(z.string(), signer),
  /** When this repository was last written: a clock that says less has gone back. */
  lastWrite: z.iso.datetime(),
})

export type Lifetimes = z.infer<typeof lifetimes>
export type SignerEntry = z.infer<typeof signer>
/** What the commands remember between runs, in `repository.json` beside the served folder. Nothing in it is secret. */
export type State = z.infer<typeof state>

/** Throws PublishError `invalid`. */
export function parseState(text: string, from: string): State {
  try {
    return state.parse(JSON.parse(text))
  } catch (error) {
    const reason = error instanceof z.ZodError ? z.prettifyError(error) : reasonOf(error)
    throw new PublishError('invalid', `${from} is damaged: ${reason}`, error)
  }
}

export function encodeState(value: State): Buffer {
  return Buffer.from(`${JSON.stringify(value, undefined, 2)}\n`)
}
