import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Ask } from './messages.ts'
import { answerBy, NoAnswerError, Questions } from './questions.ts'

const NEVER = new AbortController().signal

function setUp(): { sent: (readonly [number, Ask])[]; questions: Questions } {
  const sent: (readonly [number, Ask])[] = []
  return { sent, questions: new Questions((id, ask) => void sent.push([id, ask])) }
}

test('each question gets its own answer, in whatever order they come', async () => {
  const { sent, questions } = setUp()
  const first = questions.ask({ kind: 'recent' }, NEVER)
  const second = questions.ask({ kind: 'settle' }, NEVER)
  assert.deepEqual(
    sent.map(([, { kind }]) => kind),
    ['recent', 'settle'],
  )
  questions.answer(sent[1]![0], { ok: true, value: undefined })
  questions.answer(sent[0]![0], { ok: true, value: [] })
  assert.deepEqual(await first, [])
  assert.equal(await second, undefined)
})

const FAILURES: readonly (readonly [
  string,
  (setting: ReturnType<typeof setUp>, limit: AbortController) => void,
  RegExp,
])[] = [
  ['the limit has passed', (_, limit) => limit.abort(), /^metrics: no answer in time$/],
  ['the process ends', ({ questions }) => questions.end(), /^metrics: the process has ended$/],
  [
    'it goes wrong there',
    ({ sent, questions }) => questions.answer(sent[0]![0], { ok: false, message: 'broken' }),
    /^metrics: broken$/,
  ],
]

for (const [name, happen, message] of FAILURES) {
  test(`a question is given up when ${name}`, async () => {
    const setting = setUp()
    const limit = new AbortController()
    const asked = setting.questions.ask({ kind: 'metrics' }, limit.signal)
    happen(setting, limit)
    await assert.rejects(
      asked,
      (error: unknown) => error instanceof NoAnswerError && message.test(error.message),
    )
    // What comes late is for nobody.
    setting.questions.answer(setting.sent[0]![0], { ok: true, value: [] })
  })
}

test('nothing is asked once the limit has passed', async () => {
  const { sent, questions } = setUp()
  await assert.rejects(questions.ask({ kind: 'metrics' }, AbortSignal.abort()), NoAnswerError)
  assert.deepEqual(sent, [])
})

test('an answer is what the work gives, or why it gave nothing', async () => {
  assert.deepEqual(await answerBy(async () => await Promise.resolve(7)), { ok: true, value: 7 })
  assert.deepEqual(
    await answerBy(() => {
      throw new TypeError('no')
    }),
    { ok: false, message: 'no' },
  )
})
