import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { HandedImage } from '../handed-judgement.ts'
import type { Answer } from '../http/answer.ts'
import { digestOf } from '../oci/digest.ts'
import type { ManifestReference } from '../oci/reference.ts'
import { createAnswerPull } from './cold.ts'
import type { Answers, HandedPull } from './messages.ts'

const BODY = Buffer.from('manifest')
const DIGEST = digestOf(BODY)
const SERVED: Answer = {
  status: 200,
  headers: { 'content-length': '8' },
  body: BODY,
  facts: { outcome: 'serve', digest: DIGEST },
}

function answered(answer: Answer, instead: Partial<HandedPull['asked']> = {}): Promise<Answers['pull']> {
  const pull = createAnswerPull({
    manifest: {
      answerWarm: () => undefined,
      final: () => assert.fail(),
      answer: async () => await Promise.resolve(answer),
    },
    rings: [{ name: 'canary', stanceLimit: 'closed' }],
    judgements: {
      epochKey: 'now',
      give: () => undefined,
      giveImage: (_, digest) => ({ digest }) as HandedImage,
    },
  })
  const asked = { method: 'GET', ring: 'canary', ...instead } as HandedPull['asked']
  return pull({ asked, reference: { kind: 'tag', tag: 'v1' } as ManifestReference, epoch: 'now' })
}

describe('what a cold worker says of a pull', () => {
  test('HEAD brings no body, and the length of it', async () => {
    const { answer, image } = await answered(SERVED, { method: 'HEAD' })
    assert.deepEqual([answer, image], [{ ...SERVED, body: Buffer.alloc(0) }, { digest: DIGEST }])
  })

  for (const [what, facts, image] of [
    ['that was served is named', SERVED.facts, { digest: DIGEST }],
    ['that was admitted is named', { ...SERVED.facts, outcome: 'admitted' }, { digest: DIGEST }],
    ['that is held is not', { ...SERVED.facts, outcome: 'hold' }, undefined],
    ['that is refused is not', { ...SERVED.facts, outcome: 'refuse' }, undefined],
    ['that is none is not', undefined, undefined],
  ] as const)
    test(`an image ${what}`, async () => {
      const { facts: _, ...others } = SERVED
      const said = await answered(facts === undefined ? others : { ...others, facts })
      assert.deepEqual([said.image, said.answer.body], [image, BODY])
    })
})
