import * as z from 'zod'
import { parseDigest } from '../oci/digest.ts'
import { rowChecksum } from './checksum.ts'
import { integerOf, textOf, type Row } from './database.ts'
import type { StoredResult, StoredSighting } from './types.ts'

export const SIGHTING_COLUMNS = [
  'registry',
  'name',
  'digest',
  'ring',
  'first_at',
  'last_at',
  'pulls',
  'outcome',
  'is_signed',
  'has_provenance',
  'tags',
  'results',
] as const

/** In the order of SIGHTING_COLUMNS. */
export function valuesOf(sighting: StoredSighting): (string | number)[] {
  const { repository, digest, ring, firstAt, lastAt, pulls, outcome, tags, results } = sighting
  return [
    repository.registry,
    repository.name,
    digest,
    ring,
    firstAt.getTime(),
    lastAt.getTime(),
    pulls,
    outcome,
    Number(sighting.isSigned),
    Number(sighting.hasProvenance),
    JSON.stringify(tags),
    JSON.stringify(results.map(tupleOf)),
  ]
}

/** Arrays, because there are hundreds of thousands of them. */
function tupleOf({ policy, version, mode, verdict, because, pulls, from }: StoredResult): unknown[] {
  return [policy, version, mode, verdict, because, pulls, from.getTime()]
}

const tagsSchema = z.array(z.string())
const resultsSchema = z.array(
  z.tuple([
    z.string(),
    z.string(),
    z.enum(['off', 'observe', 'enforce']),
    z.enum(['satisfied', 'violated', 'undetermined']),
    z.string(),
    z.int(),
    z.int(),
  ]),
)
const outcomeSchema = z.enum(['serve', 'refuse', 'hold'])

/** Undefined where it is not what was written. */
export function sightingIn(row: Row): StoredSighting | undefined {
  const values = SIGHTING_COLUMNS.map((column) => {
    const value = row[column]
    return typeof value === 'string' || typeof value === 'number' ? value : null
  })
  const digest = parseDigest(String(row['digest']))
  if (digest === undefined || row['checksum'] !== rowChecksum(values)) return undefined
  return {
    repository: { registry: textOf(row, 'registry'), name: textOf(row, 'name') },
    digest,
    ring: textOf(row, 'ring'),
    tags: tagsSchema.parse(JSON.parse(textOf(row, 'tags'))),
    pulls: integerOf(row, 'pulls'),
    firstAt: new Date(integerOf(row, 'first_at')),
    lastAt: new Date(integerOf(row, 'last_at')),
    outcome: outcomeSchema.parse(row['outcome']),
    isSigned: row['is_signed'] === 1,
    hasProvenance: row['has_provenance'] === 1,
    results: resultsIn(textOf(row, 'results')),
  }
}

function resultsIn(json: string): readonly StoredResult[] {
  return resultsSchema
    .parse(JSON.parse(json))
    .map(([policy, version, mode, verdict, because, pulls, fromMs]) => ({
      policy,
      version,
      mode,
      verdict,
      because,
      pulls,
      from: new Date(fromMs),
    }))
}
