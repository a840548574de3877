import * as z from 'zod'
import { parseImageReference, type ImageReference } from '../oci/reference.ts'
import type { Verified } from '../verify/types.ts'
import { listAt, placeAt, predicatePlace, textAt, type Claimed, type Place } from './claimed.ts'
import { compileTexts, lacking, matchersCanonical, textShortfall } from './claim-demand.ts'
import { text } from './field-rules.ts'
import { textMatcherSchema } from './matcher.ts'
import type { Path, Report } from './problem.ts'
import type { ClaimCheck, ImageFacts, Shortfall, StringMatcher } from './types.ts'

/** SLSA verification summaries: slsa.dev/spec/v1.0/verification_summary and v0.2 of the same. */

const V0_2 = 'https://slsa.dev/verification_summary/v0.2'
const V1 = 'https://slsa.dev/verification_summary/v1'

export const VSA_TYPES: ReadonlySet<string> = new Set([V1, V0_2])

const SUBJECT = 'a verification summary'
const ENTRIES_MAX = 64
const LEVELS_MAX = 64

const texts = z.array(textMatcherSchema).min(1).max(ENTRIES_MAX)

export const vsaSchema = z.strictObject({
  verifiers: texts.describe('Ids of the verifiers that may have come to the result, any one of them.'),
  levels: z
    .array(text)
    .min(1)
    .max(LEVELS_MAX)
    .describe(
      'Levels that must be verified, all of them: `SLSA_BUILD_LEVEL_3`; a higher one of the same track is enough.',
    ),
  resourceUris: texts
    .optional()
    .describe('What the summary may be about, any one of them. Default: the image, by its canonical name.'),
  policies: texts.optional().describe('URIs of the policies that were verified, any one of them.'),
})

type VsaDocument = z.output<typeof vsaSchema>

type Summary = {
  readonly result: Claimed<string>
  readonly verifier: Claimed<string>
  readonly resourceUri: Claimed<string>
  readonly policy: Claimed<string>
  readonly levels: Claimed<readonly Place[]>
}

/** One demand of the shorthand. */
type Demand = (summary: Summary, image: ImageFacts) => Shortfall | undefined

const STRANGERS = {
  verifiers: 'https://attacker.invalid/verifier',
  resourceUris: 'attacker.invalid/x/y',
  policies: 'https://attacker.invalid/policy',
} as const

/** That a summary says PASSED, which every policy means that names one. */
export function vsaPassed(predicateType: string): ClaimCheck {
  return summaryCheck(predicateType, ['vsa-passed'], [passedShortfall])
}

/** Reports what is wrong. The demands are one check. */
export function compileVsa(
  document: VsaDocument,
  predicateType: string,
  path: Path,
  report: Report,
): readonly ClaimCheck[] {
  const compileField = (field: keyof typeof STRANGERS): readonly StringMatcher[] =>
    compileTexts(document[field] ?? [], STRANGERS[field], [...path, field], report)
  const verifiers = compileField('verifiers')
  const resourceUris = compileField('resourceUris')
  const policies = compileField('policies')
  const demands: readonly Demand[] = [
    ({ verifier }) => textShortfall(SUBJECT, 'verifier', verifier, verifiers),
    ({ levels }) => levelsShortfall(levels, document.levels),
    document.resourceUris === undefined
      ? ({ resourceUri }, image) => imageShortfall(resourceUri, image)
      : ({ resourceUri }) => textShortfall(SUBJECT, 'resource', resourceUri, resourceUris),
    ...(document.policies === undefined
      ? []
      : [({ policy }: Summary) => textShortfall(SUBJECT, 'policy', policy, policies)]),
  ]
  const canonical = [
    'vsa',
    matchersCanonical(verifiers),
    document.levels.toSorted(),
    matchersCanonical(resourceUris),
    matchersCanonical(policies),
  ]
  return [summaryCheck(predicateType, canonical, demands)]
}

function summaryCheck(
  predicateType: string,
  canonical: readonly unknown[],
  demands: readonly Demand[],
): ClaimCheck {
  return {
    canonical: JSON.stringify(canonical),
    check: ({ claim }: Verified, image) => {
      if (claim.kind !== 'attestation' || claim.statement.predicateType !== predicateType) return NO_SUMMARY
      const summary = readSummary(predicateType, claim.statement.predicate)
      for (const demand of demands) {
        const shortfall = demand(summary, image)
        if (shortfall !== undefined) return shortfall
      }
      return undefined
    },
  }
}

const NO_SUMMARY: Shortfall = { found: 'no verification summary', expected: 'a SLSA verification summary' }

function readSummary(predicateType: string, predicate: unknown): Summary {
  const place = predicatePlace(predicate)
  const shared = {
    verifier: textAt(placeAt(place, 'verifier', 'id')),
    policy: textAt(placeAt(place, 'policy', 'uri')),
  }
  if (predicateType === V1) {
    return {
      ...shared,
      result: textAt(placeAt(place, 'verificationResult')),
      resourceUri: textAt(placeAt(place, 'resourceUri')),
      levels: listAt(placeAt(place, 'verifiedLevels'), LEVELS_MAX),
    }
  }
  const level = placeAt(place, 'policy_level')
  return {
    ...shared,
    result: textAt(placeAt(place, 'verification_result')),
    resourceUri: textAt(placeAt(place, 'resource_uri')),
    levels:
      level.json === undefined ? { at: level.at, lack: 'is missing' } : { at: level.at, value: [level] },
  }
}

function passedShortfall({ result }: Summary): Shortfall | undefined {
  if (result.lack !== undefined) return lacking(SUBJECT, result, 'verification result PASSED')
  if (result.value === 'PASSED') return undefined
  return {
    found: `${SUBJECT} with verification result ${result.value}`,
    expected: 'verification result PASSED',
  }
}

function levelsShortfall(levels: Summary['levels'], wanted: readonly string[]): Shortfall | undefined {
  const expected = `verified levels ${wanted.join(' and ')}`
  if (levels.lack !== undefined) return lacking(SUBJECT, levels, expected)
  const verified: string[] = []
  for (const place of levels.value) {
    const level = textAt(place)
    if (level.lack !== undefined) return lacking(SUBJECT, level, expected)
    verified.push(level.value)
  }
  // A failed track is named by this word in the place of a level.
  const isMet =
    !verified.includes('FAILED') && wanted.every((one) => verified.some((has) => covers(has, one)))
  if (isMet) return undefined
  const found = verified.length === 0 ? 'no verified levels' : `verified levels ${verified.join(', ')}`
  return { found: `${SUBJECT} with ${found}`, expected }
}

/** "Each SLSA level implies all levels below it" in its track; other words stand for themselves. */
function covers(verified: string, wanted: string): boolean {
  if (verified === wanted) return true
  const [track, level] = trackOf(verified)
  const [wantedTrack, wantedLevel] = trackOf(wanted)
  return track !== undefined && track === wantedTrack && level >= wantedLevel
}

function trackOf(level: string): readonly [track: string | undefined, level: number] {
  const [, track, digits] = /^SLSA_((?:[A-Z]+_)?)LEVEL_([0-9])$/.exec(level) ?? []
  return [track, Number(digits ?? 0)]
}

/**
 * A policy is verified for a resource: the same bytes may have passed under the lax policy of another name. So a summary
 * counts for the image that it names, unless `resourceUris` says otherwise.
 */
function imageShortfall(resourceUri: Claimed<string>, image: ImageFacts): Shortfall | undefined {
  const expected = `a summary about ${image.registry}/${image.name}, or resourceUris that name another resource`
  if (resourceUri.lack !== undefined) return lacking(SUBJECT, resourceUri, expected)
  const named = imageOf(resourceUri.value)
  const isImage =
    named !== undefined &&
    named.repository.registry === image.registry &&
    named.repository.name === image.name &&
    (named.reference.kind === 'tag' || named.reference.digest === image.digest)
  if (isImage) return undefined
  return { found: `${SUBJECT} about resource ${resourceUri.value}`, expected }
}

/** The image of `ghcr.io/acme/app`, with or without tag, digest, `oci://`, `docker://` or `https://`; or of a purl. */
function imageOf(uri: string): ImageReference | undefined {
  if (uri.startsWith('pkg:')) return imageOfPurl(uri)
  return parseImageReference(uri.replace(/^(?:oci|docker|https):\/\//, ''))
}

/** purl-spec, type oci: the name is the last component of the repository, `repository_url` has it or goes before it. */
function imageOfPurl(purl: string): ImageReference | undefined {
  const [, name, version, qualifiers] = /^pkg:oci\/([^/@?#]+)(?:@([^?#]+))?\?([^#]+)$/.exec(purl) ?? []
  const repository = new URLSearchParams(qualifiers ?? '').getAll('repository_url')
  const [url] = repository
  if (name === undefined || url === undefined || repository.length > 1) return undefined
  const full = url === name || url.endsWith(`/${name}`) ? url : `${url}/${name}`
  const digest = version === undefined ? '' : `@${version.replaceAll(/%3a/gi, ':')}`
  return parseImageReference(`${full}${digest}`)
}
