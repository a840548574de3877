import assert from 'node:assert/strict'
import { digestOf } from '../../src/oci/digest.ts'
import { createLogs } from '../../src/record/log.ts'
import { createMetrics } from '../../src/record/metrics.ts'
import { observePull } from '../../src/record/observe-pull.ts'
import { requestText } from '../../src/record/request-log.ts'
import { checked, type Part } from './part.ts'

const DIGEST = digestOf(Buffer.from('image'))

/** Step 9 of what is served: one line, and counts. */
export function recordParts(): readonly Part[] {
  return [logPart(), tallyPart(), observePart()]
}

function logPart(): Part {
  return {
    name: 'log/request',
    open() {
      let bytes = 0
      const now = new Date()
      const { requests } = createLogs('info', { write: (lines) => void (bytes += lines.length) }, () => now)
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
      // Lines are handed on once a turn of the event loop, which must not wait for the end of the sample.
      const write = (turn: number): void => {
        requests.write(text, '10.0.0.1', 0.021)
        if (turn % 64 === 0) requests.flush()
      }
      return checked(write, () => assert.ok(bytes > 300))
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
