/** How much of each kind of cached fact is kept; what belongs to images that nobody pulls goes first. */
export type StateLimits = {
  evidenceBytesMax: number
  logEntryBytesMax: number
  findingBytesMax: number
  sightingRowsMax: number
  satisfiedRowsMax: number
  closureRowsMax: number
  memberRowsMax: number
  manifestRowsMax: number
  tagRowsMax: number
}

const MIB = 1024 * 1024

/**
 * Full, these and their indexes take about 1.8 GB. Records (decisions, admissions, promotions) have no limit: they are
 * never evicted.
 */
export const STATE_LIMITS: StateLimits = {
  /** A signed image needs 10 to 100 KiB. */
  evidenceBytesMax: 256 * MIB,
  /** An entry takes 2 to 10 KiB, and most signatures bring their own. */
  logEntryBytesMax: 64 * MIB,
  /** What verification found of an image takes 2 to 20 KiB. */
  findingBytesMax: 512 * MIB,
  /** One for each image and ring that pulls it; some 1.2 KB where three policies refuse it. */
  sightingRowsMax: 300_000,
  /** One for each image and policy that it satisfies; some 500 bytes. */
  satisfiedRowsMax: 200_000,
  /** One for each blob of an image and each image of an index, some 120 bytes: 100,000 ordinary images. */
  closureRowsMax: 1_000_000,
  /** Only blobs that no policy vouches for; some 120 bytes. */
  memberRowsMax: 500_000,
  /** Some 400 bytes. */
  manifestRowsMax: 200_000,
  /** Some 300 bytes. */
  tagRowsMax: 100_000,
}
