import type { AddressInfo } from 'node:net'
import type { MetricObject } from 'prom-client'
import type { Config } from '../config/schema.ts'
import type { HandedImage, HandedJudgement } from '../handed-judgement.ts'
import type { Answer as HttpAnswer } from '../http/answer.ts'
import type { Drill } from '../drill.ts'
import type { ManifestReference } from '../oci/reference.ts'
import type { News } from '../peers.ts'
import type { PolicyOrigin, PolicyFiles } from '../policy-source/source.ts'
import type { SeenPull } from '../replay.ts'
import type { RoutedRequest } from '../routes/request.ts'
import type { TufFile } from '../routes/tuf.ts'
import type { ListenOptions } from '../server.ts'
import type { TrustData } from './trust-data.ts'

/**
 * What keeper and workers tell each other, by structured cloning: Map, Date and bytes stay what they are, an object of a
 * class would not. Both ends are this release, so what comes is not checked field by field.
 */

/** Policies as the keeper put them in force: what they were compiled from, so that a worker compiles the same. */
export type PolicyData = {
  readonly version: string
  readonly files: PolicyFiles
  /** Undefined: nothing was ever had, and every image is held. */
  readonly origin: PolicyOrigin | undefined
  readonly since: Date
}

/** All that verdicts depend on and that the keeper decides. What is undefined has not changed since the last message. */
export type Rule = {
  readonly trust: TrustData | undefined
  readonly policies: PolicyData | undefined
  /** Null: none is running. */
  readonly drill: Drill | null | undefined
}

/** `serving`: has the listeners where clients pull. `cold`: pulls what those hand over, since nobody has judged it yet. */
export const WORKER_ROLES = ['serving', 'cold'] as const
export type WorkerRole = (typeof WORKER_ROLES)[number]

export type WorkerStart = {
  readonly role: WorkerRole
  /** Where cold workers listen: all of them for one that serves, its own for a cold one. */
  readonly sockets: readonly string[]
  readonly config: Config
  /** In the order of `dataListeners`: files are read once, by the keeper. */
  readonly places: readonly ListenOptions[]
  readonly rule: Rule
}

/** What a process is asked by the other. */
export type Answers = {
  /** As `registry.getMetricsAsJSON()` gives them. */
  metrics: MetricsData
  /** What was pulled from this worker lately. */
  recent: readonly SeenPull[]
  /** Writes what was counted of pulls. */
  settle: undefined
  /** The new rule is in force. */
  rule: undefined
  /** A file of a mirrored repository; undefined where there is none. */
  tuf: TufFile | undefined
  /** The whole answer to it, what it rests on where others may go by that, too, and what it let through. */
  pull: {
    /** Without a body where HEAD is asked. */
    readonly answer: HttpAnswer
    readonly judgement: HandedJudgement | undefined
    readonly image: HandedImage | undefined
  }
}

/** A request for a manifest on its way from the worker that has the connection to a cold one. */
export type HandedPull = {
  /** `ring`: its name. */
  readonly asked: Omit<RoutedRequest, 'ring'> & { readonly ring: string }
  readonly reference: ManifestReference
  /** Key of the epoch of who has the connection: under another one nobody answers for it. */
  readonly epoch: string
}

export type MetricsData = readonly MetricObject[]

export type Ask =
  | { readonly kind: 'metrics' | 'recent' | 'settle' }
  | { readonly kind: 'rule'; readonly rule: Rule }
  | { readonly kind: 'tuf'; readonly name: string; readonly path: string }
  | ({ readonly kind: 'pull' } & HandedPull)

export type ToWorker =
  | { readonly kind: 'start'; readonly start: WorkerStart }
  | { readonly kind: 'ask'; readonly id: number; readonly ask: Ask }
  | { readonly kind: 'answer'; readonly id: number; readonly answer: Answer }
  | { readonly kind: 'news'; readonly news: News }
  /** The keeper is there, and wants to know whether the worker is. */
  | { readonly kind: 'ping' }
  /** Drain, and end. */
  | { readonly kind: 'stop' }

export type ToKeeper =
  | { readonly kind: 'listening'; readonly at: readonly (readonly [string, AddressInfo])[] }
  /** It cannot begin, and neither could another. */
  | { readonly kind: 'failed'; readonly problems: readonly string[] }
  | { readonly kind: 'ask'; readonly id: number; readonly ask: Ask }
  | { readonly kind: 'answer'; readonly id: number; readonly answer: Answer }
  | { readonly kind: 'news'; readonly news: News }
  | { readonly kind: 'pong' }
  /** The last thing that it says: what it has counted. */
  | { readonly kind: 'ended'; readonly metrics: MetricsData }

export type Answer =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly message: string }

const TO_WORKER = new Set(['start', 'ask', 'answer', 'news', 'ping', 'stop'])
const TO_KEEPER = new Set(['listening', 'failed', 'ask', 'answer', 'news', 'pong', 'ended'])

/** node:cluster sends messages of its own, which are none of ours. */
export function isToWorker(message: unknown): message is ToWorker {
  return TO_WORKER.has(kindOf(message))
}

export function isToKeeper(message: unknown): message is ToKeeper {
  return TO_KEEPER.has(kindOf(message))
}

function kindOf(message: unknown): string {
  const isNamed = typeof message === 'object' && message !== null && 'kind' in message
  return isNamed && typeof message.kind === 'string' ? message.kind : ''
}
