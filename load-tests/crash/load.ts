import { pick, type Random } from '../../src/store/testing/random.ts'
import { requestTo, type Reply } from '../../test/integration/http.ts'
import type { Ledger, Question } from './ledger.ts'
import { REPOSITORY, type Blob, type World } from './world.ts'

/** Clients at a time. */
const CLIENTS = 8
const RECENT = 6

export async function ask(port: number, question: Question): Promise<Reply> {
  const range = question.kind === 'blob' ? question.range : undefined
  const headers = range === undefined ? {} : { range: `bytes=${range.start}-${range.end}` }
  return await requestTo(port, { method: 'GET', target: targetOf(question), headers })
}

function targetOf(question: Question): string {
  const base = `/v2/${REPOSITORY}`
  switch (question.kind) {
    case 'manifest':
      return `${base}/manifests/${question.image.digest}`
    case 'tag':
      return `${base}/manifests/${question.tag}`
    case 'blob':
      return `${base}/blobs/${question.blob.digest}`
    case 'refused':
      return `${base}/manifests/${question.by === 'tag' ? question.refused.tag : question.refused.digest}`
  }
}

/**
 * Asks until `isOver`, the moment at which the proxy is killed; a connection that fails before that is a violation. An
 * answer that is still coming in then is judged too.
 */
export async function drive(
  { world, ledger, random, isLight }: { world: World; ledger: Ledger; random: Random; isLight: boolean },
  isOver: () => boolean,
): Promise<void> {
  const client = async (): Promise<void> => {
    while (!isOver()) {
      const question = nextQuestion(world, ledger, random)
      try {
        // oxlint-disable-next-line no-await-in-loop -- one client asks one thing after another
        ledger.judge(question, await ask(world.port, question), isLight && !isOver())
      } catch (error) {
        if (!isOver()) ledger.violation(`the connection failed before the kill: ${String(error)}`)
      }
    }
  }
  await Promise.all(Array.from({ length: CLIENTS }, client))
}

function nextQuestion(world: World, ledger: Ledger, random: Random): Question {
  const kind = random(10)
  if (kind < 2) return refusedQuestion(world, random)
  if (kind < 4) return { kind: 'tag', tag: pick(random, [...world.tags.keys()]) ?? 'latest' }
  const image = recentOf(world.accepted, random)
  // Blobs only of manifests that were let through, as real clients ask.
  const blob = ledger.served.has(image.digest) ? pick(random, image.blobs) : undefined
  return kind < 7 || blob === undefined ? { kind: 'manifest', image } : blobQuestion(blob, random)
}

function refusedQuestion({ refused }: World, random: Random): Question {
  return { kind: 'refused', refused: recentOf(refused, random), by: random(2) === 0 ? 'tag' : 'digest' }
}

function blobQuestion(blob: Blob, random: Random): Question {
  if (random(3) < 2) return { kind: 'blob', blob }
  const start = random(blob.bytes.length)
  return { kind: 'blob', blob, range: { start, end: start + random(blob.bytes.length - start) } }
}

/** Half of the time one of the newest: what is new is what a crash may catch half written. */
function recentOf<T>(all: readonly T[], random: Random): T {
  const one = pick(random, random(2) === 0 ? all : all.slice(-RECENT))
  if (one === undefined) throw new RangeError('the world has no images yet')
  return one
}
