import { rm } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import type { HandedJudgements } from '../handed-judgement.ts'
import type { Answer as HttpAnswer } from '../http/answer.ts'
import { parseDigest, type Digest } from '../oci/digest.ts'
import type { Ring } from '../policy/ring.ts'
import type { ManifestAnswers } from '../routes/manifest.ts'
import { Frames, sendFrame } from './frames.ts'
import { isToWorker, type Answer, type Answers, type HandedPull } from './messages.ts'
import { answerBy } from './questions.ts'

/** Answers what another worker was asked. Rejects where nobody can say what becomes of it. */
export type AnswerPull = (pull: HandedPull) => Promise<Answers['pull']>

export type ColdDeps = {
  readonly manifest: ManifestAnswers
  readonly rings: readonly Ring[]
  readonly judgements: Pick<HandedJudgements, 'epochKey' | 'give' | 'giveImage'>
}

/** Answers that wait for one who does not read: beyond it he is better off without. */
const WAITING_BYTES_MAX = 32 * 1024 * 1024
const NO_BODY = Buffer.alloc(0)

/** Pulls that other workers hand over: who asks and in which ring is their word, all the rest is found out here. */
export function createAnswerPull({ manifest, rings, judgements }: ColdDeps): AnswerPull {
  const byName = new Map(rings.map((ring) => [ring.name, ring]))
  return async ({ asked, reference, epoch }) => {
    if (epoch !== judgements.epochKey) throw new TypeError('the one that asks goes by another rule')
    const ring = byName.get(asked.ring)
    if (ring === undefined) throw new TypeError(`there is no ring ${asked.ring}`)
    const request = { ...asked, ring }
    const warm = manifest.answerWarm(request, reference)
    const answer = warm?.answer ?? (await manifest.answer(request, reference))
    const { repository, method } = asked
    const served = servedBy(answer)
    return {
      // Its length is in its head, and a manifest for each who only asks whether it is there would fill the memory of both.
      answer: method === 'HEAD' ? { ...answer, body: NO_BODY } : answer,
      judgement: judgements.give(repository, reference),
      image: served === undefined ? undefined : judgements.giveImage(repository, served),
    }
  }
}

/** The image that was let through; undefined where none was. */
function servedBy({ facts }: HttpAnswer): Digest | undefined {
  const { outcome, digest } = facts ?? {}
  return outcome === 'serve' || outcome === 'admitted' ? parseDigest(digest ?? '') : undefined
}

export type ColdListener = {
  /** Lets running pulls end, and after `drainMs` breaks what is left. */
  readonly close: (drainMs: number) => Promise<void>
}

/** Listens where only processes of this proxy can: the directory of the socket is theirs alone. */
export async function listenToWorkers(path: string, answerPull: AnswerPull): Promise<ColdListener> {
  const sockets = new Set<Socket>()
  const running = new Set<Promise<void>>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    socket.on('error', () => undefined)
    answerOn(socket, answerPull, running)
  })
  // Of one that was killed.
  await rm(path, { force: true })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    // Exclusive: the keeper would take connections for it otherwise.
    server.listen({ path, exclusive: true }, resolve)
  })
  return {
    async close(drainMs) {
      server.close()
      await Promise.race([Promise.all(running), pause(drainMs, undefined, { ref: false })])
      for (const socket of sockets) socket.end()
    },
  }
}

function answerOn(socket: Socket, answerPull: AnswerPull, running: Set<Promise<void>>): void {
  const frames = new Frames()
  const reply = (id: number, answer: Answer): void => {
    if (socket.writable) sendFrame(socket, { kind: 'answer', id, answer })
  }
  const hear = (message: unknown): void => {
    if (!isToWorker(message)) return
    // At once: whoever asks passes over one that hangs.
    if (message.kind === 'ping') sendFrame(socket, { kind: 'pong' })
    if (message.kind !== 'ask') return
    const { id, ask } = message
    if (ask.kind !== 'pull') return
    const answering = answerBy(async () => await answerPull(ask))
      .then((answer) => {
        if (socket.writableLength > WAITING_BYTES_MAX) throw new RangeError('too much waits to be sent')
        reply(id, answer)
      })
      // What cannot be sent: whoever asked does it.
      .catch(() => reply(id, { ok: false, message: 'the answer cannot be sent' }))
      .finally(() => running.delete(answering))
    running.add(answering)
  }
  socket.on('data', (chunk: Buffer) => {
    try {
      frames.push(chunk).forEach(hear)
    } catch {
      socket.destroy()
    }
  })
}
