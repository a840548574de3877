import * as z from 'zod'
import { text } from './field-rules.ts'
import { compileGlob, type Glob } from './glob.ts'
import type { Path, Report } from './problem.ts'
import type { Mode, RingModes } from './types.ts'

/** What documents of every kind have in common: their names, the images and the rings that they are about. */

const NAMES_CHARACTERS_MAX = 63
const IMAGES_MAX = 256

export const nameSchema = z
  .string()
  .max(NAMES_CHARACTERS_MAX)
  .regex(/^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/, 'expected lower case letters, digits, dots and dashes')

export const metadataSchema = z.strictObject({
  name: nameSchema
    .refine(
      (value) => value !== 'unmatched',
      'expected another name: this one is the rule for images without a policy',
    )
    .describe('Unique among all policies and revocations; refusals and records call the document by it.'),
})

export const modeSchema = z.enum(['off', 'observe', 'enforce'])

export const ringsSchema = z
  .record(nameSchema, modeSchema)
  .describe('The mode in these rings of the configuration; `mode` is that of all others.')

export const runbookSchema = z
  .url({ protocol: /^https?$/, error: 'expected an http or https URL' })
  .max(512)
  .describe('Where a person who is refused reads what to do; part of the refusal.')

export const imagesSchema = z
  .array(z.strictObject({ glob: text.describe('Repositories: `ghcr.io/acme/**`, `nginx`, `*`.') }))
  .min(1)
  .max(IMAGES_MAX)

/** Leaves out those that mean nothing, and reports them. */
export function compileGlobs(
  images: z.output<typeof imagesSchema>,
  path: Path,
  report: Report,
): readonly Glob[] {
  return images.flatMap(({ glob }, index) => {
    const result = compileGlob(glob)
    return result.ok ? [result.glob] : (report([...path, index, 'glob'], result.message) ?? [])
  })
}

/** A ring that nobody belongs to is a slip: what was meant for it would hold nowhere. */
export function compileModes(
  fallback: Mode,
  rings: z.output<typeof ringsSchema> | undefined,
  known: ReadonlySet<string>,
  report: (ring: string, message: string) => undefined,
): RingModes {
  const byRing = new Map(Object.entries(rings ?? {}))
  for (const ring of byRing.keys()) {
    if (known.has(ring)) continue
    const names = [...known].join(', ')
    report(ring, `found ${JSON.stringify(ring)}, expected a ring of the configuration: ${names}`)
  }
  return { fallback, byRing }
}
