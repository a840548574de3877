import * as z from 'zod'
import { NOT_MET } from './authority.ts'
import { nameSchema } from './document-parts.ts'
import { ALWAYS, exactlyOneOf, given, idle } from './field-rules.ts'
import { namedIn } from './implication.ts'
import type { Path, Report } from './problem.ts'
import { quorumUntilMs, type Vouching } from './quorum.ts'
import type { Requirement } from './types.ts'

/** Which authorities together are enough: how a document says it, and until when they are. */

/** Of nested any and all; nobody reads more than that. */
const DEPTH_MAX = 4
const PARTS_MAX = 64

export type RequirementDocument = {
  any?: PartDocument[] | undefined
  all?: PartDocument[] | undefined
  threshold?: number | undefined
  of?: string[] | undefined
}

type PartDocument = string | RequirementDocument

const parts = z
  .array(z.lazy((): z.ZodType<PartDocument, PartDocument> => partSchema))
  .min(1)
  .max(PARTS_MAX)

export const requirementSchema: z.ZodType<RequirementDocument, RequirementDocument> = z
  .strictObject({
    any: parts.optional().describe('Names of authorities, or requirements; one of them is enough.'),
    all: parts.optional().describe('Names of authorities, or requirements; every one of them is needed.'),
    threshold: z
      .int()
      .min(1)
      .max(PARTS_MAX)
      .optional()
      .describe('So many different authorities, satisfied by as many different signers.'),
    of: z
      .array(nameSchema)
      .min(1)
      .max(PARTS_MAX)
      .optional()
      .describe(
        'The authorities that `threshold` counts. Default, outside of any and all: those of the policy.',
      ),
  })
  .superRefine(exactlyOneOf(['any', 'all', 'threshold']), ALWAYS)
  .superRefine(
    idle(
      ['of'],
      (value) => given(value, ['threshold']).length === 0,
      'which has no effect without threshold; drop it',
    ),
    ALWAYS,
  )

const partSchema: z.ZodType<PartDocument, PartDocument> = z.union([nameSchema, requirementSchema])

/** An authority of the policy, as far as a requirement is concerned. */
export type Named = { readonly name: string; readonly isStatic: boolean }

/** Without a document any one authority is enough. Reports what means nothing. */
export function compileRequirement(
  document: RequirementDocument | undefined,
  authorities: readonly Named[],
  path: Path,
  report: Report,
): Requirement {
  const names = authorities.map(({ name }) => name)
  const leaves: readonly Requirement[] = names.map((name) => ({ kind: 'authority', name }))
  if (document === undefined) return { kind: 'any', of: leaves }
  const whole = document.threshold === undefined ? document : { ...document, of: document.of ?? names }
  let isSound = true
  const noted: Report = (at, message) => {
    isSound = false
    return report(at, message)
  }
  const requirement = compilePart(whole, path, { authorities, report: noted })
  // What is meant by a mistake may be the very authority that seems to be forgotten.
  if (!isSound) return requirement
  const used = namedIn(requirement)
  const idleNames = names.filter((name) => !used.has(name))
  if (idleNames.length > 0) {
    report(
      path,
      `found nothing about ${idleNames.join(', ')}, expected every authority: drop it there or name it here`,
    )
  }
  return requirement
}

type Compiling = { readonly authorities: readonly Named[]; readonly report: Report }

function compilePart(document: PartDocument, path: Path, compiling: Compiling): Requirement {
  if (typeof document === 'string') {
    findAuthority(document, path, compiling)
    return { kind: 'authority', name: document }
  }
  const { any, all, threshold, of } = document
  if (threshold !== undefined) return compileThreshold(threshold, of, path, compiling)
  const kind = any === undefined ? 'all' : 'any'
  if (path.filter((step) => step === 'any' || step === 'all').length >= DEPTH_MAX) {
    compiling.report([...path, kind], `found more than ${DEPTH_MAX} levels of any and all, expected fewer`)
    return { kind, of: [] }
  }
  const nested = any ?? all ?? []
  return {
    kind,
    of: nested.map((part, index) => compilePart(part, [...path, kind, index], compiling)),
  }
}

function compileThreshold(
  count: number,
  of: readonly string[] | undefined,
  path: Path,
  compiling: Compiling,
): Requirement {
  const { report } = compiling
  if (of === undefined) report(path, 'found a threshold without of, expected the authorities that it counts')
  const names = of ?? []
  for (const [index, name] of names.entries()) {
    const at = [...path, 'of', index]
    if (names.indexOf(name) < index) report(at, `found ${JSON.stringify(name)} twice, expected each once`)
    if (findAuthority(name, at, compiling)?.isStatic === true) {
      report(at, `found ${JSON.stringify(name)}, which is static and has no signer that could be counted`)
    }
  }
  if (of !== undefined && count > names.length) {
    report(
      [...path, 'threshold'],
      `found ${count}, expected at most ${names.length}: so many authorities are counted`,
    )
  }
  return { kind: 'threshold', count, of: names }
}

function findAuthority(name: string, path: Path, { authorities, report }: Compiling): Named | undefined {
  const found = authorities.find((authority) => authority.name === name)
  if (found !== undefined) return found
  const known = authorities.map((authority) => authority.name).join(', ')
  return report(path, `found ${JSON.stringify(name)}, expected an authority of the policy: ${known}`)
}

/** How the authorities of a policy stand. Times are milliseconds; `NOT_MET` and `FOR_EVER` are times, too. */
export type Standing = {
  /** Until when the authority is satisfied. */
  untilMs(authority: string): number
  /** The signers of whom each alone satisfies it, and until when. */
  signersOf(authority: string): ReadonlyMap<string, number>
}

/** Until when the requirement is met. The latest of alternatives counts, and the earliest of what is needed together. */
export function metUntilMs(requirement: Requirement, standing: Standing): number {
  switch (requirement.kind) {
    case 'authority':
      return standing.untilMs(requirement.name)
    case 'any':
      return Math.max(NOT_MET, ...requirement.of.map((part) => metUntilMs(part, standing)))
    case 'all':
      return requirement.of.length === 0
        ? NOT_MET
        : Math.min(...requirement.of.map((part) => metUntilMs(part, standing)))
    case 'threshold':
      return quorumUntilMs(requirement.count, vouchingIn(requirement, standing))
  }
}

export function vouchingIn(
  { of }: Extract<Requirement, { kind: 'threshold' }>,
  standing: Standing,
): Vouching {
  return new Map(of.map((name) => [name, standing.signersOf(name)]))
}

/** One form for one meaning: `canonicalOf` says what an authority demands, whatever it is called. */
export function requirementCanonical(
  requirement: Requirement,
  canonicalOf: (name: string) => string,
): string {
  switch (requirement.kind) {
    case 'authority':
      return canonicalOf(requirement.name)
    case 'any':
    case 'all': {
      const parts = new Set(requirement.of.map((part) => requirementCanonical(part, canonicalOf)))
      const [only] = parts
      // Either of one is that one.
      return only !== undefined && parts.size === 1
        ? only
        : JSON.stringify([requirement.kind, ...[...parts].toSorted()])
    }
    case 'threshold':
      return JSON.stringify(['threshold', requirement.count, ...requirement.of.map(canonicalOf).toSorted()])
  }
}
