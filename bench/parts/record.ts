import assert from 'node:assert/strict'
import { digestOf } from '../../src/oci/digest.ts'
import { createLogs } from '../../src/record/log.ts'
import { LogOutput } from '../../src/record/log-output.ts'
import { createMetrics } from '../../src/record/metrics.ts'
import { observePull } from '../../src/record/observe-pull.ts'
import { requestText } from '../../src/record/request-log.ts'
import { checked, type Part } from './part.ts'

const DIGEST = digestOf(Buffer.from('image'))
const LINES_OF_SEVERAL_BLOCKS = 1000

/** Step 9 of what is served: one line, and counts. */
export function recordParts(): readonly Part[] {
  return [logPart(), tallyPart(), observePart()]
}

/** Lines as they are written in production. */
export function logToNowhere(written: { bytes: number } = { bytes: 0 }): LogOutput {
  const take = (bytes: Buffer): number => {
    written.bytes += bytes.length
    return bytes.length
  }
  return new LogOutput({
    file: { write: (bytes, done) => done(null, take(bytes)), writeSync: take },
    later: () => undefined,
    onDropped: () => undefined,
  })
}

function logPart(): Part {
  return {
    name: 'log/request',
    open() {
      const written = { bytes: 0 }
      const now = new Date()
      const { requests } = createLogs('info', logToNowhere(written), () => now)
      const text = requestText({
        method: 'GET',
        target: `/v2/acme/app/manifests/${DIGEST}?ns=ghcr.io`,
        route: 'manifest',
        status: 200,
        outcome: 'serve',
        cache: 'warm',
        digest: DIGEST,
        decision: '0123456789ab',
      })
      const write = (): void => requests.write(text, '10.0.0.1', 0.021)
      const work = checked(write, () => undefined)
      for (let line = 0; line < LINES_OF_SEVERAL_BLOCKS; line += 1) write()
      assert.ok(written.bytes > 300 * (LINES_OF_SEVERAL_BLOCKS / 2))
      return work
    },
  }
}

function tallyPart(): Part {
  return {
    name: 'metric/tally',
    async open() {
      const { httpRequests, registry } = createMetrics()
      const work = checked(
        () => httpRequests.inc('manifest', 'GET', 200),
        () => undefined,
      )
      assert.match(
        await registry.metrics(),
        /http_requests_total\{route="manifest",method="GET",status="200"\} 1\n/,
      )
      return work
    },
  }
}

function observePart(): Part {
  return {
    name: 'metric/observe-pull',
    async open() {
      const metrics = createMetrics()
      const observe = observePull(metrics)
      const repository = { registry: 'ghcr.io', name: 'acme/app' }
      const subject = { repository, digest: DIGEST, ring: 'default', policyVersion: 'p', trustVersion: 't' }
      const decision = { id: '', key: '', subject, outcome: 'serve', results: [], admitted: [] } as const
      const pulled = {
        decision,
        outcome: { kind: 'serve', warnings: [], admitted: [] },
        cache: 'warm',
      } as const
      const work = checked(
        () => observe(pulled, 0.021),
        () => undefined,
      )
      assert.match(await metrics.registry.metrics(), /pulls_total\{[^}]*outcome="serve"[^}]*\} 1\n/)
      return work
    },
  }
}
