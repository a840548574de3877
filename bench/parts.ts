import { spawnSync } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import * as z from 'zod'
import {
  ALLOCATION_FLAGS,
  measureAllocation,
  measureTimes,
  repeat,
  tableOf,
  type Allocation,
  type Durations,
  type Times,
} from './measure.ts'
import { configurationParts } from './parts/configuration.ts'
import { discoveryParts } from './parts/discovery.ts'
import { httpParts } from './parts/http.ts'
import { ociParts } from './parts/oci.ts'
import type { Part } from './parts/part.ts'
import { policyParts } from './parts/policy.ts'
import { recordParts } from './parts/record.ts'
import { storeParts } from './parts/store.ts'
import { verificationParts } from './parts/verification.ts'
import { warmParts } from './parts/warm.ts'
import { profileOf, selfTimes } from './profile.ts'

const USAGE = `node bench/parts.ts [--only NAME[,NAME]] [--quick] [--json FILE] [--compare FILE]
node bench/parts.ts --profile PART [--to FILE]

What each part of a pull costs by itself: time and allocation. NAME is a part or a group of them (\`decide\`); FILE of
--compare is one that --json has written on the same machine. --profile writes a .cpuprofile of one part, and prints
where its time goes.
`

const DURATIONS = {
  usual: { warmUpMs: 500, measureMs: 1500 },
  quick: { warmUpMs: 100, measureMs: 200 },
} as const
const PROFILE_MS = 3000
const PROFILE_ROWS = 15
const ROOT = new URL('../', import.meta.url).href

const figuresSchema = z.object({
  parts: z.record(z.string(), z.object({ medianUs: z.number(), p99Us: z.number(), heapBytes: z.number() })),
})
const allocationSchema = z.record(z.string(), z.object({ heapBytes: z.number(), bufferBytes: z.number() }))

type Figures = Times & Allocation
type Former = z.output<typeof figuresSchema>['parts']

function partsOf(closing: AsyncDisposableStack): readonly Part[] {
  return [
    ...httpParts(),
    ...ociParts(),
    ...policyParts(),
    ...verificationParts(),
    ...discoveryParts(),
    ...storeParts(closing),
    ...recordParts(),
    ...configurationParts(),
    ...warmParts(closing),
  ]
}

/** Names of parts, or of groups; undefined: all. */
function chosen(parts: readonly Part[], only: string | undefined): readonly Part[] {
  if (only === undefined) return parts
  const names = only.split(',')
  const unknown = names.find((one) => !parts.some(({ name }) => isNamed(name, one)))
  if (unknown !== undefined) {
    throw new Error(`no part ${unknown}; there are ${parts.map(({ name }) => name).join(', ')}`)
  }
  return parts.filter(({ name }) => names.some((one) => isNamed(name, one)))
}

function isNamed(name: string, text: string): boolean {
  return name === text || name.startsWith(`${text}/`)
}

/** Each part opened, measured and left: their figures by name. */
async function figuresOf<T>(
  only: string | undefined,
  measure: (part: Part) => Promise<T>,
): Promise<Readonly<Record<string, T>>> {
  await using closing = new AsyncDisposableStack()
  const figures: Record<string, T> = {}
  // oxlint-disable-next-line no-await-in-loop -- two at once would measure each other
  for (const part of chosen(partsOf(closing), only)) figures[part.name] = await measure(part)
  return figures
}

/** In a process of its own, because the heap that it takes to count bytes is not the one that the proxy runs with. */
function allocations(args: readonly string[]): z.output<typeof allocationSchema> {
  const command = [...ALLOCATION_FLAGS, fileURLToPath(import.meta.url), '--allocation', ...args]
  const child = spawnSync(process.execPath, command, { stdio: ['ignore', 'pipe', 'inherit'] })
  if (child.status !== 0) throw new Error(`counting allocations ended with ${child.status}`)
  return allocationSchema.parse(JSON.parse(child.stdout.toString()))
}

const row = tableOf(28, 11)

function microseconds(us: number): string {
  return us < 10 ? us.toFixed(3) : us.toFixed(us < 1000 ? 1 : 0)
}

function printRow(name: string, now: Figures, former: Former | undefined): void {
  const before = former?.[name]
  const ratio = before === undefined ? [] : [(now.medianUs / before.medianUs).toFixed(2)]
  const bytes = [now.heapBytes, now.bufferBytes].map(String)
  console.log(row(name, microseconds(now.medianUs), microseconds(now.p99Us), ...bytes, ...ratio))
}

async function compareAll(
  { only, json, compare }: Readonly<Record<'only' | 'json' | 'compare', string | undefined>>,
  durations: Durations,
  args: readonly string[],
): Promise<void> {
  const former = compare === undefined ? undefined : await formerFigures(compare)
  const allocated = allocations(args)
  console.log(`node ${process.version}, ${cpus()[0]?.model ?? 'unknown processor'}`)
  console.log(
    'us: a call (p99: of samples of 50 us and more). Bytes: allocated by a call, on the heap and in Buffers.',
  )
  console.log(
    row('', 'median us', 'p99 us', 'heap B', 'buffer B', ...(former === undefined ? [] : ['x former'])),
  )
  const parts = await figuresOf(only, async ({ name, open }) => {
    const times = await measureTimes(await open(), durations)
    const figures = { ...times, ...(allocated[name] ?? { heapBytes: Number.NaN, bufferBytes: Number.NaN }) }
    printRow(name, figures, former)
    return figures
  })
  if (json !== undefined) {
    await writeFile(
      json,
      `${JSON.stringify({ node: process.version, at: new Date(), parts }, undefined, 2)}\n`,
    )
  }
}

async function formerFigures(path: string): Promise<Former> {
  return figuresSchema.parse(JSON.parse(await readFile(path, 'utf8'))).parts
}

async function profilePart(name: string, to: string): Promise<void> {
  await using closing = new AsyncDisposableStack()
  const [part, ...others] = chosen(partsOf(closing), name)
  if (part === undefined || others.length > 0) throw new Error(`${name} is not one part`)
  const work = await part.open()
  await repeat(work, DURATIONS.usual.warmUpMs)
  const profile = await profileOf(async () => await repeat(work, PROFILE_MS))
  await writeFile(to, JSON.stringify(profile))
  const times = selfTimes(profile, ROOT)
  const totalUs = times.reduce((sum, { us }) => sum + us, 0)
  console.log(`${part.name}: ${(totalUs / 1e6).toFixed(1)} s sampled, profile in ${to}`)
  for (const { name: called, place, us } of times.slice(0, PROFILE_ROWS)) {
    console.log(`${((100 * us) / totalUs).toFixed(1).padStart(5)} %  ${called.padEnd(32)} ${place}`)
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      only: { type: 'string' },
      quick: { type: 'boolean', default: false },
      json: { type: 'string' },
      compare: { type: 'string' },
      profile: { type: 'string' },
      to: { type: 'string', default: 'parts.cpuprofile' },
      help: { type: 'boolean', default: false },
      // Of the process that counts allocations, to itself.
      allocation: { type: 'boolean', default: false },
    },
  })
  const { only, quick, json, compare, profile, to, help, allocation } = values
  const durations = quick ? DURATIONS.quick : DURATIONS.usual
  if (help) process.stdout.write(USAGE)
  else if (profile !== undefined) await profilePart(profile, to)
  else if (allocation) {
    const counted = await figuresOf(
      only,
      async ({ open }) => await measureAllocation(await open(), durations),
    )
    process.stdout.write(JSON.stringify(counted))
  } else {
    const args = [...(only === undefined ? [] : ['--only', only]), ...(quick ? ['--quick'] : [])]
    await compareAll({ only, json, compare }, durations, args)
  }
}

await main()
