import { isRecord } from '../policy/problem.ts'
import { VARIABLES } from './environment.ts'
import { parseDuration } from '../policy/duration.ts'
import { configJsonSchema } from './schema.ts'

type Row = { readonly path: string; readonly kind: string; readonly fallback: string; readonly text: string }

const INTRODUCTION = `# Configuration

<!-- Generated from src/config/schema.ts by \`node src/config/generate.ts\`; a test fails where it is out of date. -->

One YAML file, named by \`--config\` or \`PORTCULLIS_CONFIG\`. Without one every default below holds: public registries,
the built-in trust root of the public Sigstore instance, mode \`observe\` (nothing is refused), data under \`./data\`.
[config/default.yaml](../config/default.yaml) spells the defaults out; [config/schema.json](../config/schema.json) is
the JSON Schema for editors. What may be pulled is said by policies: see [policy.md](policy.md).

A wrong value, an unknown key or a file that cannot be read stops the start with exit code 3, and everything that is
wrong is told at once. Paths are relative to the configuration file; those given by a variable, or by default where
there is no file, to the working directory. Sizes have a unit (\`64MiB\`, \`20GiB\`, \`1GB\`) or are bytes; durations always
have one (\`500ms\`, \`30s\`, \`5m\`, \`24h\`, \`30d\`).
`

/** The reference page, from the same schema as the checks: it cannot say what the program does not do. */
export function configReference(): string {
  return [INTRODUCTION, settings(), environment()].join('\n')
}

function settings(): string {
  const sections = Object.entries(propertiesOf(configJsonSchema())).map(([name, schema]) => {
    return { name, schema, rows: rowsOf(schema, name) }
  })
  const plain = sections
    .filter(({ rows }) => rows.length === 0)
    .map(({ name, schema }) => rowOf(schema, name))
  const nested = sections.filter(({ rows }) => rows.length > 0)
  const pages = nested.map(({ name, schema, rows }) => `## ${name}\n\n${aboutOf(schema)}${tableOf(rows)}\n`)
  return [`## Top level\n\n${tableOf(plain)}\n`, ...pages].join('\n')
}

function aboutOf(schema: unknown): string {
  if (!isRecord(schema)) return ''
  const { description, default: fallback } = schema
  // The defaults of a section with settings of its own stand beside those.
  const shown = hasEntries(schema)
    ? `Default:\n\n\`\`\`json\n${JSON.stringify(fallback, undefined, 2)}\n\`\`\`\n\n`
    : ''
  return typeof description === 'string' ? `${description}\n\n${shown}` : shown
}

function environment(): string {
  const rows = [...VARIABLES].map(
    ([variable, { path, description }]) => `| \`${variable}\` | \`${path.join('.')}\` | ${description} |`,
  )
  return `## Environment

Variables win over the file. Each may end in \`_FILE\` (but for \`PORTCULLIS_CONFIG\`), and then names a file that holds the
value. A \`PORTCULLIS_*\` variable that is none of these is an error; the ones that Kubernetes makes for a Service called
\`portcullis\` are passed over.

| variable | setting | value |
|---|---|---|
| \`PORTCULLIS_CONFIG\` | | the configuration file |
${rows.join('\n')}
| \`PORTCULLIS_UPSTREAM_<NAME>_USERNAME\` | \`upstreams.<registry>.auth.username\` | \`<NAME>\` is the registry in capitals, with \`_\` for every other character: \`GHCR_IO\` |
| \`PORTCULLIS_UPSTREAM_<NAME>_PASSWORD\` | \`upstreams.<registry>.auth.password\` | likewise; best as \`…_PASSWORD_FILE\` |
`
}

/** One row for every leaf below `schema`; `<…>` stands for a name that the operator chooses. */
function rowsOf(schema: unknown, path: string): readonly Row[] {
  if (!isRecord(schema)) return []
  const entries = Object.entries(propertiesOf(schema)).map(
    ([key, value]) => [`${path}.${key}`, value] as const,
  )
  const values = isRecord(schema['additionalProperties']) ? schema['additionalProperties'] : undefined
  const chosen = values === undefined ? [] : [[`${path}.<name>`, values] as const]
  const items = isRecord(schema['items']) ? rowsOf(schema['items'], `${path}[]`) : []
  const variants = variantsOf(schema).flatMap((variant) => rowsOf(variant, `${path}(${kindName(variant)})`))
  const own = [...entries, ...chosen].flatMap(([at, value]) => {
    const nested = rowsOf(value, at)
    const own = nested.length === 0 || isChoice(value) || hasEntries(value) ? [rowOf(value, at)] : []
    return [...own, ...nested]
  })
  return [...own, ...items, ...variants]
}

function rowOf(schema: unknown, path: string): Row {
  const value = isRecord(schema) ? schema : {}
  const fallback = value['default'] === undefined ? '' : codeOf(JSON.stringify(value['default']))
  const text = typeof value['description'] === 'string' ? value['description'] : variantsText(value)
  return { path, kind: kindOf(value), fallback, text }
}

function kindOf(schema: Readonly<Record<string, unknown>>): string {
  const { type, enum: options, minimum, maximum, items, const: only } = schema
  if (only !== undefined) return codeOf(JSON.stringify(only))
  if (Array.isArray(options)) return options.map((option) => codeOf(String(option))).join(', ')
  if (type === 'integer') return `${String(minimum)} to ${String(maximum)}`
  if (type === 'array') return isRecord(items) ? `list of ${kindOf(items)}` : 'list'
  if (type === 'object') return 'mapping'
  if (Array.isArray(type)) return type.map(String).join(' or ')
  if (typeof type === 'string') return isQuantity(schema) ? 'duration' : type
  return Array.isArray(schema['anyOf']) ? unionOf(schema['anyOf'].filter(isRecord)) : 'mapping'
}

/** Unions that there are: a value or nothing, a date or a time, a word or a duration, a size with its unit or in bytes. */
function unionOf(options: readonly Readonly<Record<string, unknown>>[]): string {
  if (options.some(({ format }) => format === 'date')) return 'date or time'
  const word = options.find(({ const: only }) => only !== undefined)
  if (word !== undefined) return `${codeOf(String(word['const']))} or duration`
  const kinds = options.map(kindOf)
  return kinds.includes('null') ? kinds.join(' or ') : 'size'
}

/** A string whose default is a duration is one: sizes are unions with a number. */
function isQuantity({ default: fallback }: Readonly<Record<string, unknown>>): boolean {
  return typeof fallback === 'string' && parseDuration(fallback) !== undefined
}

function isChoice(schema: unknown): boolean {
  return isRecord(schema) && Array.isArray(schema['oneOf'])
}

function hasEntries(schema: unknown): boolean {
  return isRecord(schema) && isRecord(schema['additionalProperties'])
}

function variantsOf(schema: Readonly<Record<string, unknown>>): readonly unknown[] {
  return Array.isArray(schema['oneOf']) ? schema['oneOf'] : []
}

/** The word by which a variant is chosen. */
function kindName(variant: unknown): string {
  const { kind } = propertiesOf(variant)
  return isRecord(kind) && typeof kind['const'] === 'string' ? kind['const'] : 'any'
}

function variantsText(schema: Readonly<Record<string, unknown>>): string {
  return variantsOf(schema)
    .map((variant: unknown) => {
      const keys = Object.entries(propertiesOf(variant)).map(([key, value]) => {
        const only = isRecord(value) ? value['const'] : undefined
        return only === undefined ? key : `${key}: ${typeof only === 'string' ? only : JSON.stringify(only)}`
      })
      const about =
        isRecord(variant) && typeof variant['description'] === 'string' ? variant['description'] : ''
      return `${codeOf(`{ ${keys.join(', ')} }`)}: ${about}`
    })
    .join(' ')
}

function propertiesOf(schema: unknown): Readonly<Record<string, unknown>> {
  return isRecord(schema) && isRecord(schema['properties']) ? schema['properties'] : {}
}

function tableOf(rows: readonly Row[]): string {
  const lines = rows.map(
    ({ path, kind, fallback, text }) => `| \`${path}\` | ${kind} | ${fallback} | ${text} |`,
  )
  return ['| setting | value | default | |', '|---|---|---|---|', ...lines].join('\n')
}

function codeOf(text: string): string {
  return `\`${text}\``
}
