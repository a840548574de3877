import * as z from 'zod'
import type { Signer, Verified } from '../verify/types.ts'
import type { Claimed } from './claimed.ts'
import {
  compileTexts,
  lacking,
  listText,
  matcherCanonical,
  matchersCanonical,
  textShortfall,
} from './claim-demand.ts'
import { text } from './field-rules.ts'
import { compileText, matchesString, textMatcherSchema } from './matcher.ts'
import type { Path, Report } from './problem.ts'
import { readProvenance, type Provenance } from './provenance.ts'
import { contradictionOf } from './signer-claims.ts'
import { levelMaxOf, levelOf } from './slsa-level.ts'
import { parseSourceUri } from './source-uri.ts'
import type { ClaimCheck, Shortfall, StringMatcher } from './types.ts'

/** The shorthand `slsa`: what provenance of any version must say of the build. */

const ENTRIES_MAX = 64
const SUBJECT = 'a provenance attestation'

const level = z.int().min(1).max(3)
const texts = z.array(textMatcherSchema).min(1).max(ENTRIES_MAX).optional()

const builder = z.union([
  text,
  z.strictObject({ id: text, level: level.optional() }),
  z.strictObject({ pattern: text, level: level.optional() }),
])

export const slsaSchema = z
  .strictObject({
    level: level
      .optional()
      .describe(
        'SLSA Build level at least: built in for known builders, else by the `level` of the entry in `builders`.',
      ),
    builders: z
      .array(builder)
      .min(1)
      .max(ENTRIES_MAX)
      .optional()
      .describe('Builder ids, any one of them; an entry may state the `level` that its builder reaches.'),
    sources: texts.describe('Source repositories, any one of them: `https://github.com/acme/app`.'),
    sourceRefs: texts.describe('Git refs of the source, any one of them: `refs/heads/main`.'),
    buildTypes: texts.describe('Build types, any one of them.'),
    materials: texts.describe(
      'Every material (`materials`, `resolvedDependencies`) must match one of them, by its URI or by its repository.',
    ),
    invocations: texts.describe('Invocation ids, any one of them.'),
  })
  .refine((value) => Object.values(value).some((field) => field !== undefined), {
    error: 'found nothing that the provenance must show, expected builders, level, sources or another key',
  })

type SlsaDocument = z.output<typeof slsaSchema>
type BuilderDocument = z.output<typeof builder>

type BuilderRule = { readonly matcher: StringMatcher; readonly level: number | undefined }

/** One demand of the shorthand. */
type Demand = (provenance: Provenance, signer: Signer) => Shortfall | undefined

type Texts = Exclude<keyof SlsaDocument, 'level' | 'builders'>
type TextsRule = { readonly field: Texts; readonly matchers: readonly StringMatcher[] }

/**
 * What anybody could have in the place of each: a pattern that accepts it says nothing. A pull request's ref is one that
 * whoever may propose a change can have built.
 */
const STRANGERS: Readonly<Record<Texts | 'builders', string>> = {
  builders: 'https://attacker.invalid/x/y/.github/workflows/release.yml@refs/heads/main',
  sources: 'https://attacker.invalid/x/y',
  sourceRefs: 'refs/pull/1/merge',
  buildTypes: 'https://attacker.invalid/buildtype/v1',
  materials: 'git+https://attacker.invalid/x/y@refs/heads/main',
  invocations: 'https://attacker.invalid/x/y/actions/runs/1',
}

const TEXT_CLAIMS = {
  sources: ['source repository', ({ sourceRepository }) => sourceRepository],
  sourceRefs: ['source ref', ({ sourceRef }) => sourceRef],
  buildTypes: ['build type', ({ buildType }) => buildType],
  invocations: ['invocation', ({ invocationId }) => invocationId],
} as const satisfies Partial<Record<Texts, readonly [string, (provenance: Provenance) => Claimed<string>]>>

const TEXT_FIELDS = ['sources', 'sourceRefs', 'buildTypes', 'materials', 'invocations'] as const

/** Reports what is wrong. The demands are one check, so that the provenance is read once. */
export function compileSlsa(
  document: SlsaDocument,
  predicateType: string,
  path: Path,
  report: Report,
): readonly ClaimCheck[] {
  const builders = compileBuilders(document, path, report)
  const rules = TEXT_FIELDS.flatMap((field): readonly TextsRule[] => {
    const written = document[field]
    if (written === undefined) return []
    const matchers = compileTexts(written, STRANGERS[field], [...path, field], report)
    return [{ field, matchers }]
  })
  reportSpellings(document.sources ?? [], [...path, 'sources'], report)
  const demands: readonly Demand[] = [
    contradictionOf,
    ...(document.builders === undefined ? [] : [builderDemand(builders)]),
    ...(document.level === undefined ? [] : [levelDemand(document.level, builders)]),
    ...rules.map(textsDemand),
  ]
  return [
    {
      canonical: JSON.stringify([
        'slsa',
        document.level ?? 0,
        buildersCanonical(builders),
        rules.map(rulesCanonical),
      ]),
      check: ({ claim, signer }: Verified) => {
        if (claim.kind !== 'attestation' || claim.statement.predicateType !== predicateType)
          return NO_PROVENANCE
        const provenance = readProvenance(predicateType, claim.statement.predicate)
        for (const demand of demands) {
          const shortfall = demand(provenance, signer)
          if (shortfall !== undefined) return shortfall
        }
        return undefined
      },
    },
  ]
}

const NO_PROVENANCE: Shortfall = { found: 'no provenance attestation', expected: 'SLSA provenance' }

function compileBuilders(document: SlsaDocument, path: Path, report: Report): readonly BuilderRule[] {
  return (document.builders ?? []).flatMap((entry, index) => {
    const at = [...path, 'builders', index]
    const matcher = compileText(builderText(entry), STRANGERS.builders, at, report)
    if (matcher === undefined) return []
    const rule = { matcher, level: typeof entry === 'string' ? undefined : entry.level }
    const problem = levelProblem(rule, document.level)
    if (problem !== undefined) report(at, problem)
    return [rule]
  })
}

function builderText(entry: BuilderDocument): z.output<typeof textMatcherSchema> {
  if (typeof entry === 'string') return entry
  return 'id' in entry ? entry.id : { pattern: entry.pattern }
}

/** An entry that could never satisfy, or a level that changes nothing. */
function levelProblem(
  { matcher, level: own }: BuilderRule,
  demanded: number | undefined,
): string | undefined {
  if (demanded === undefined) {
    return own === undefined ? undefined : 'found level, which has no effect without slsa.level'
  }
  if (own !== undefined) {
    return own < demanded ? `found level ${own}, expected at least the slsa.level ${demanded}` : undefined
  }
  if (matcher.kind === 'pattern' || levelMaxOf(matcher.value) >= demanded) return undefined
  return (
    `found a builder that is not known to reach level ${demanded}; ` +
    `write {id: ${matcher.value}, level: ${demanded}} if you know that it does`
  )
}

/** Source repositories have one spelling; another would match nothing. */
function reportSpellings(sources: NonNullable<SlsaDocument['sources']>, path: Path, report: Report): void {
  for (const [index, source] of sources.entries()) {
    const problem = typeof source === 'string' ? spellingProblem(source) : undefined
    if (problem !== undefined) report([...path, index], problem)
  }
}

function spellingProblem(source: string): string | undefined {
  const location = parseSourceUri(source)
  if (typeof location === 'string') return `found a source that ${location}, expected https://host/repository`
  if (location.ref !== undefined) return 'found a source with a ref, expected the ref under sourceRefs'
  return location.repository === source
    ? undefined
    : `found a source in another spelling, expected ${location.repository}`
}

function builderDemand(builders: readonly BuilderRule[]): Demand {
  const matchers = builders.map(({ matcher }) => matcher)
  return ({ builderId }) => textShortfall(SUBJECT, 'builder', builderId, matchers)
}

/**
 * An entry that states a level says what the operator of the policy knows of the builder; else the built-in table does.
 * Whoever has a key may sign any builder id: then the policy itself must name the builder beside the key.
 */
function levelDemand(demanded: number, builders: readonly BuilderRule[]): Demand {
  return ({ builderId }, signer) => {
    if (builderId.lack !== undefined) return lacking(SUBJECT, builderId, `SLSA Build level ${demanded}`)
    const { value } = builderId
    const named = builders.filter(({ matcher }) => matchesString(matcher, value))
    const stated = named.flatMap(({ level: own }) => own ?? [])
    const known = signer.kind === 'key' && named.length === 0 ? 0 : levelOf(value, signer)
    const reached = Math.max(known, ...stated)
    if (reached >= demanded) return undefined
    const text = reached === 0 ? 'of no known SLSA Build level' : `of SLSA Build level ${reached}`
    return {
      found: `${SUBJECT} with builder ${value} by a signer that makes it ${text}`,
      expected: `SLSA Build level ${demanded}`,
    }
  }
}

function textsDemand({ field, matchers }: TextsRule): Demand {
  if (field === 'materials') return ({ materials }) => materialShortfall(materials, matchers)
  const [name, claimOf] = TEXT_CLAIMS[field]
  return (provenance) => textShortfall(SUBJECT, name, claimOf(provenance), matchers)
}

/** A list without entries shows nothing about where the build's parts came from. */
function materialShortfall(
  materials: Provenance['materials'],
  matchers: readonly StringMatcher[],
): Shortfall | undefined {
  const expected = `only materials ${listText(matchers)}`
  if (materials.lack !== undefined) return lacking(SUBJECT, materials, expected)
  if (materials.value.length === 0) return lacking(SUBJECT, { at: materials.at, lack: 'is empty' }, expected)
  for (const { uri } of materials.value) {
    if (uri.lack !== undefined) return lacking(SUBJECT, uri, expected)
    if (!isMaterialOf(uri.value, matchers)) {
      return { found: `${SUBJECT} with material ${uri.value}`, expected }
    }
  }
  return undefined
}

function isMaterialOf(uri: string, matchers: readonly StringMatcher[]): boolean {
  if (matchers.some((matcher) => matchesString(matcher, uri))) return true
  const location = parseSourceUri(uri)
  if (typeof location === 'string') return false
  return matchers.some((matcher) => matchesString(matcher, location.repository))
}

function buildersCanonical(builders: readonly BuilderRule[]): readonly string[] {
  return builders
    .map(({ matcher, level: own }) => JSON.stringify([matcherCanonical(matcher), own ?? 0]))
    .toSorted()
}

function rulesCanonical({ field, matchers }: TextsRule): unknown {
  return [field, matchersCanonical(matchers)]
}
