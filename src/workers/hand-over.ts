import type { Answer } from '../http/answer.ts'
import type { HandedJudgements } from '../handed-judgement.ts'
import { repositoryName, type ManifestReference, type Repository } from '../oci/reference.ts'
import type { ManifestAnswers } from '../routes/manifest.ts'
import type { RoutedRequest } from '../routes/request.ts'
import { Link, type LinkDeps } from './link.ts'
import type { HandOverResult } from './metrics.ts'

export type HandOverDeps = LinkDeps & {
  /** Of each cold worker. */
  readonly sockets: readonly string[]
  readonly judgements: Pick<HandedJudgements, 'epochKey' | 'isKnown' | 'take' | 'takeImage'>
  /** As long as a pull may take. */
  deadline: () => AbortSignal
  /** A little longer: whoever has the pull answers it when its time is up. */
  limit: () => AbortSignal
  count: (result: HandOverResult) => void
}

/** Beyond that many a cold worker is of no help: what it has not begun waits as long there as here. */
const UNDER_WAY_MAX = 1_000

/** The manifest route of a worker that has cold workers: what nobody has judged yet is pulled, whole, in one of those. */
export class HandOver implements ManifestAnswers {
  readonly answerWarm: ManifestAnswers['answerWarm']
  readonly final: ManifestAnswers['final']
  readonly #own: ManifestAnswers
  readonly #deps: HandOverDeps
  readonly #links: readonly Link[]
  #underWay = 0

  constructor(own: ManifestAnswers, deps: HandOverDeps) {
    this.#own = own
    this.#deps = deps
    this.#links = deps.sockets.map((path) => new Link(path, deps))
    this.answerWarm = (...asked) => own.answerWarm(...asked)
    this.final = (...asked) => own.final(...asked)
  }

  async answer(request: RoutedRequest, reference: ManifestReference): Promise<Answer> {
    const { judgements } = this.#deps
    if (judgements.isKnown(request.repository, reference)) return await this.#own.answer(request, reference)
    // One for both: who waited in vain does not wait twice.
    const deadline = this.#deps.deadline()
    const handed = await this.#handedOver(request, reference)
    return handed ?? (await this.#own.answer(request, reference, () => deadline))
  }

  close(): void {
    for (const link of this.#links) link.close()
  }

  /** Undefined where no cold worker answers: nothing has been said to the client, so it is as if none had been asked. */
  async #handedOver(request: RoutedRequest, reference: ManifestReference): Promise<Answer | undefined> {
    const { judgements, count, limit } = this.#deps
    const link = this.#links[placeOf(request.repository, this.#links.length)]
    if (link === undefined || this.#underWay >= UNDER_WAY_MAX) {
      count('full')
      return undefined
    }
    this.#underWay += 1
    try {
      const asked = { ...request, ring: request.ring.name }
      const pull = { asked, reference, epoch: judgements.epochKey }
      const { answer, judgement, image } = await link.ask(pull, limit())
      // Before the client hears of it: the next thing that it asks for may rest on either.
      if (image !== undefined) judgements.takeImage(request.repository, image)
      if (judgement !== undefined) judgements.take(request.repository, judgement)
      count('answered')
      return answer
    } catch {
      // It has ended, does not listen yet, hangs, goes by another rule, or does not answer.
      count('unanswered')
      return undefined
    } finally {
      this.#underWay -= 1
    }
  }
}

/** One repository, one cold worker: so an image that many ask for at once is judged once, and an index beside its children. */
function placeOf(repository: Repository, count: number): number {
  let sum = 0
  for (const letter of repositoryName(repository)) sum = (sum * 31 + (letter.codePointAt(0) ?? 0)) % 65_521
  return sum % count
}
