import type { Occasion } from '../../policy/authority.ts'
import type { Cause, Policy } from '../../policy/types.ts'
import { LOOKED_UP_ENTRIES_MAX } from '../../verify/limits.ts'
import type { ReadLogEntry } from '../../verify/log-entry-json.ts'
import { isAbout } from '../../verify/log-query.ts'
import type { Candidate, CandidateResult, Unlogged, Verified } from '../../verify/types.ts'
import { candidateKey } from '../../verify/unlogged.ts'
import type { LogLookUp, LookUpResult } from './look-up.ts'
import { wantedEntries, type Wanted } from './wanted.ts'

/** Why nobody can tell now; where policies are named, it is of no account to others. */
export type ScopedCause = Cause & { readonly policies?: readonly string[] }

/** What is verified, what is not, and what could not be had. */
export type Findings = CandidateResult & { readonly missing: readonly ScopedCause[] }

export type CompleteDeps = {
  readonly lookUp: LogLookUp
  /** Of which image it is, and when. */
  readonly occasion: Occasion
  /** Verifies one candidate, against the trust roots only. */
  readonly verify: (candidate: Candidate) => Promise<Findings>
  /** Told of each entry that was verified; `log` is the name of its trust root. */
  readonly keep: (log: string, entry: ReadLogEntry) => void
}

const COPIES_TRIED_MAX = 4

type Completion = Findings & { readonly candidate: Candidate | undefined }

/**
 * Looks up the log entries that would satisfy a policy, in parallel, and verifies each like one that came with its
 * signature. Returns the candidates with the entries that verified (only those are kept) and what is known then.
 * Nothing is asked where nothing asked for would change a verdict.
 */
export async function completeWithEntries(
  candidates: readonly Candidate[],
  known: Findings,
  policies: readonly Policy[],
  deps: CompleteDeps,
): Promise<{ readonly candidates: readonly Candidate[]; readonly findings: Findings }> {
  const { occasion, lookUp } = deps
  const wanted = wantedEntries(policies, known.verified, known.unlogged ?? [], occasion).filter(
    ({ trustRoot }) => lookUp.has(trustRoot),
  )
  if (wanted.length === 0) return { candidates, findings: known }
  const byKey = new Map(candidates.map((candidate) => [candidateKey(candidate), candidate]))
  const done = await Promise.all(wanted.map((one) => complete(byKey, one, deps)))
  return {
    candidates: candidates.map((candidate) => withEntries(candidate, done)),
    findings: unite(known, done),
  }
}

type Candidates = ReadonlyMap<string, Candidate>

async function complete(candidates: Candidates, wanted: Wanted, deps: CompleteDeps): Promise<Completion> {
  const result = await deps.lookUp.find(wanted)
  const completion = await completedBy(result, candidates, wanted, deps)
  const isDone = completion.candidate !== undefined || result.kind !== 'found' || result.isKept !== true
  // What is kept verified once, by the trust root of then: where it does not any more, the log has the word.
  return isDone ? completion : await completedBy(await deps.lookUp.ask(wanted), candidates, wanted, deps)
}

async function completedBy(
  result: LookUpResult,
  candidates: Candidates,
  { trustRoot, copies, policies }: Wanted,
  deps: CompleteDeps,
): Promise<Completion> {
  if (result.kind === 'absent') return nothing()
  if (result.kind === 'failed')
    return nothing([{ dependency: 'rekor', message: result.error.message, policies }])
  let last = nothing()
  for (const [entry, copy] of pairsOf(result.entries, copies)) {
    const candidate = candidates.get(copy.candidate)
    if (candidate === undefined) continue
    const completed = {
      ...candidate,
      logEntries: [entry.json, ...(candidate.logEntries ?? [])].slice(0, LOOKED_UP_ENTRIES_MAX),
    }
    // oxlint-disable-next-line no-await-in-loop -- nearly always there is one
    const findings = await deps.verify(completed)
    if (findings.verified.some(isLoggedIn(trustRoot))) {
      deps.keep(trustRoot, entry)
      return { ...findings, candidate: completed }
    }
    last = unproven(findings, trustRoot, policies)
  }
  return last
}

/** An old entry is of one wording only; others are of all copies, and the first of them nearly always has enough. */
function pairsOf(
  entries: readonly ReadLogEntry[],
  copies: readonly Unlogged[],
): readonly (readonly [ReadLogEntry, Unlogged])[] {
  return entries.flatMap((entry) =>
    copies
      .filter(({ query }) => isAbout(query, entry.entry))
      .slice(0, COPIES_TRIED_MAX)
      .map((copy) => [entry, copy] as const),
  )
}

function isLoggedIn(trustRoot: string): (verified: Verified) => boolean {
  return ({ logs }) => logs.some((log) => log.trustRoot === trustRoot)
}

/**
 * An entry that does not verify as one of a log that is trusted is no answer, whoever gave it. One that does, and shows
 * that the certificate was not valid then or the like, is a fact about the signature.
 */
function unproven(
  { failures, missing }: Findings,
  trustRoot: string,
  policies: readonly string[],
): Completion {
  const facts = failures.filter(({ code }) => code !== 'log-entry')
  if (facts.length > 0 || missing.length > 0) return { ...nothing(missing), failures: facts }
  const [failure] = failures
  const why = failure?.message ?? 'its log is none that the trust root knows'
  const message = `the log of trust root ${trustRoot} answered with an entry that does not verify: ${why}`
  return nothing([{ dependency: 'rekor', message, policies }])
}

function nothing(missing: readonly ScopedCause[] = []): Completion {
  return { verified: [], failures: [], missing, candidate: undefined }
}

function withEntries(candidate: Candidate, completions: readonly Completion[]): Candidate {
  const key = candidateKey(candidate)
  const entries = completions.flatMap((completion) =>
    completion.candidate !== undefined && candidateKey(completion.candidate) === key
      ? (completion.candidate.logEntries ?? [])
      : [],
  )
  return entries.length === 0
    ? candidate
    : { ...candidate, logEntries: [...new Set(entries)].slice(0, LOOKED_UP_ENTRIES_MAX) }
}

/** What a look-up mended is no failure any more. */
function unite(known: Findings, completions: readonly Completion[]): Findings {
  const mended = new Set(
    completions.flatMap(({ candidate }) => (candidate === undefined ? [] : [sourceKey(candidate)])),
  )
  const failures = known.failures.filter(
    ({ code, source }) => code !== 'log-entry' || !mended.has(sourceKey({ source })),
  )
  return {
    verified: [...known.verified, ...completions.flatMap(({ verified }) => verified)],
    failures: [...failures, ...completions.flatMap((completion) => completion.failures)],
    missing: [...known.missing, ...completions.flatMap(({ missing }) => missing)],
  }
}

function sourceKey({ source }: Pick<Candidate, 'source'>): string {
  return `${source.manifest} ${source.blob}`
}
