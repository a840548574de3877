import type { Socket } from 'node:net'
import type { Answer, WrittenAnswer, WrittenAnswers } from './http/answer.ts'
import type { Ring } from './policy/ring.ts'
import { millisecondsSince, noteRequest, requestNote } from './record/note-request.ts'
import type { RequestNote, RequestNotesDeps } from './record/note-request.ts'
import type { Door } from './rings/door.ts'
import type { RequestFacts } from './rings/recognise.ts'
import { UNKNOWN_CLIENT, type AnswerAgain, type RoutedRequest, type WarmAnswer } from './routes/request.ts'

/** All that the head of a request for a manifest or a blob says, kept for long. Who sends it is another's word, and so is the ring. */
export type KnownRequest = {
  readonly target: string
  readonly request: Omit<RoutedRequest, 'client' | 'ring'>
  readonly facts: RequestFacts
  readonly route: 'manifest' | 'blob'
  /** Steps 3 to 10, where nothing has to be waited for. */
  readonly answerWarm: (request: RoutedRequest) => WarmAnswer | undefined
  /** Of the answer that it was learned with: the memory that is counted for it. */
  readonly sizeBytes: number
  /** What it was answered last. */
  last?: Repeatable | undefined
  /** The answer has become larger than what is counted for it. */
  isOutgrown?: boolean
}

/** An answer that may be given once more, and what there is to note of it. */
type Repeatable = {
  readonly answer: Answer
  readonly again: AnswerAgain
  readonly note: RequestNote
  readonly ring: Ring
}

export type KnownRequestDeps = RequestNotesDeps & {
  readonly door: Door
  readonly written: WrittenAnswers
  readonly elapsed: () => number
}

type Asker = { readonly client: string; readonly ring: Ring; readonly start: number }

/**
 * Steps 3 to 10 for a request that was read before: the whole answer as it goes to the socket, or undefined where it takes
 * time. As long as all that the last answer rests on is as it was, it is the answer: nothing is looked up anew.
 */
export function answerKnown(
  known: KnownRequest,
  socket: Socket,
  deps: KnownRequestDeps,
): WrittenAnswer | undefined {
  // Nothing has been noted yet, so it may be read, and learned, once more.
  if (known.isOutgrown === true) return undefined
  const start = deps.elapsed()
  try {
    const client = socket.remoteAddress ?? UNKNOWN_CLIENT
    const ring = deps.door.ringOf(socket, known.facts)
    const { last } = known
    if (last?.ring !== ring || !last.again.holds()) return answerAnew(known, { client, ring, start }, deps)
    const ms = millisecondsSince(start, deps.elapsed)
    last.again.told(client, ms)
    noteRequest(last.note, { client, ms }, deps)
    return deps.written.wire(last.answer, known.request.method)
  } catch {
    // Read by node:http it comes upon the same, and is reported.
    return undefined
  }
}

/** Whatever there is to say at once is said: it has been counted as a pull, and would be once more by whoever asked again. */
function answerAnew(
  known: KnownRequest,
  { client, ring, start }: Asker,
  deps: KnownRequestDeps,
): WrittenAnswer | undefined {
  known.last = undefined
  const { target, request, route } = known
  const { method } = request
  const warm = known.answerWarm({ ...request, client, ring })
  if (warm === undefined) return undefined
  const { answer, again } = warm
  const note = requestNote({ method, target, ring }, { ...answer, facts: answer.facts, route })
  noteRequest(note, { client, ms: millisecondsSince(start, deps.elapsed) }, deps)
  known.isOutgrown = answer.body.length > known.sizeBytes
  if (again !== undefined && !known.isOutgrown) known.last = { answer, again, note, ring }
  return deps.written.wire(answer, method)
}
