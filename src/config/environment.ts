import { closest } from '../policy/suggestion.ts'
import { isRecord, pathText, type Path, type Problem } from '../policy/problem.ts'
import { DEFAULT_UPSTREAMS } from './upstream-schema.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/** Text of a file; rejects where it cannot be read. */
export type ReadFile = (path: string) => Promise<string>

/** A value that a variable puts in place of what the file says. */
export type Override = { readonly variable: string; readonly path: Path; readonly value: unknown }

export type Overrides = { readonly overrides: readonly Override[]; readonly problems: readonly Problem[] }

const PREFIX = 'PORTCULLIS_'
export const CONFIG_VARIABLE = 'PORTCULLIS_CONFIG'

type Variable = { readonly path: Path; readonly description: string }

/** Variables for deployment values. `PORTCULLIS_CONFIG` names the file itself and is read before all of them. */
export const VARIABLES: ReadonlyMap<string, Variable> = new Map([
  ['PORTCULLIS_LISTEN_DATA', { path: ['listen', 'data'], description: '`host:port`' }],
  ['PORTCULLIS_LISTEN_ADMIN', { path: ['listen', 'admin'], description: '`host:port`' }],
  ['PORTCULLIS_DATA_DIRECTORY', { path: ['dataDirectory'], description: 'a directory' }],
  ['PORTCULLIS_POLICIES_DIRECTORY', { path: ['policies', 'directory'], description: 'a directory' }],
  ['PORTCULLIS_LOG_LEVEL', { path: ['log', 'level'], description: 'a level' }],
])

const UPSTREAM = /^PORTCULLIS_UPSTREAM_([A-Z0-9_]+)_(USERNAME|PASSWORD)$/

/**
 * Kubernetes puts variables for every Service into every container; a Service called `portcullis` makes these
 * (kubernetes.io, "Discovering services"). They are not meant for us, and no name of ours looks like them.
 */
const SERVICE_LINK =
  /^PORTCULLIS_(?:[A-Z0-9_]+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)?)$/

const LISTEN_ADDRESS = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]]+)):(\d{1,5})$/

/** Reads every `PORTCULLIS_*` variable; one that means nothing is a problem, so that no setting is lost to a slip. */
export async function readEnvironment(
  environment: Environment,
  raw: unknown,
  readFile: ReadFile,
): Promise<Overrides> {
  const registries = registriesOf(raw)
  const ours = Object.keys(environment).filter(
    (variable) => variable.startsWith(PREFIX) && variable !== CONFIG_VARIABLE && !SERVICE_LINK.test(variable),
  )
  const results = await Promise.all(
    ours.toSorted().map(async (variable) => {
      const result = await readVariable(variable, environment, registries, readFile)
      return 'message' in result ? { variable, problem: result.message } : { overrides: result }
    }),
  )
  return {
    overrides: results.flatMap((result) => result.overrides ?? []),
    problems: results.flatMap(({ variable, problem }) =>
      problem === undefined
        ? []
        : [{ file: 'environment', line: undefined, path: variable, message: problem }],
    ),
  }
}

/** The document with the overrides in place; `raw` itself is left alone. */
export function applyOverrides(raw: unknown, overrides: readonly Override[]): unknown {
  const hasUpstreams = isRecord(raw) && raw['upstreams'] !== undefined
  const setsUpstreams = overrides.some(({ path }) => path[0] === 'upstreams')
  const base = setsUpstreams && !hasUpstreams ? replaceAt(raw, ['upstreams'], DEFAULT_UPSTREAMS) : raw
  return overrides.reduce((document, { path, value }) => replaceAt(document, path, value), base)
}

/** The variable that gave the value at `path`, if one did. */
export function variableOf(path: Path, overrides: readonly Override[]): string | undefined {
  const text = `${pathText(path)}.`
  return overrides.find((override) => text.startsWith(`${pathText(override.path)}.`))?.variable
}

type Fault = { readonly message: string }

async function readVariable(
  variable: string,
  environment: Environment,
  registries: readonly string[],
  readFile: ReadFile,
): Promise<readonly Override[] | Fault> {
  const direct = targetOf(variable, registries)
  const name =
    direct === undefined && variable.endsWith('_FILE') ? variable.slice(0, -'_FILE'.length) : variable
  const target = direct ?? targetOf(name, registries)
  if (target === undefined) return unknownVariable(variable)
  if ('message' in target) return target
  if (name !== variable && environment[name] !== undefined) {
    return { message: `found next to ${name}, expected only one of the two` }
  }
  const given = environment[variable] ?? ''
  if (given === '') return { message: 'found nothing, expected a value; unset the variable to leave it out' }
  const text = name === variable ? given : await readSecret(given, readFile)
  return typeof text === 'string' ? overridesOf(variable, target, text) : text
}

/** Where a variable's value belongs; undefined where the name is none of ours. */
function targetOf(name: string, registries: readonly string[]): Path | Fault | undefined {
  const known = VARIABLES.get(name)
  if (known !== undefined) return known.path
  const [, wanted, field = ''] = UPSTREAM.exec(name) ?? []
  if (wanted === undefined) return undefined
  const [registry, ...others] = registries.filter((candidate) => variableName(candidate) === wanted)
  if (registry === undefined) {
    return {
      message: `found no upstream of that name, expected one of ${registries.map(variableName).join(', ')}`,
    }
  }
  if (others.length > 0) {
    const message = `found a name that ${[registry, ...others].join(' and ')} share; set auth in the file instead`
    return { message }
  }
  return ['upstreams', registry, 'auth', field.toLowerCase()]
}

function variableName(registry: string): string {
  return registry.toUpperCase().replaceAll(/[^A-Z0-9]/g, '_')
}

function registriesOf(raw: unknown): readonly string[] {
  const upstreams = isRecord(raw) ? raw['upstreams'] : undefined
  return Object.keys(isRecord(upstreams) ? upstreams : DEFAULT_UPSTREAMS)
}

function unknownVariable(variable: string): Fault {
  const near = closest(variable, [CONFIG_VARIABLE, ...VARIABLES.keys()])
  return { message: near === undefined ? 'unknown variable' : `unknown variable, did you mean ${near}?` }
}

async function readSecret(path: string, readFile: ReadFile): Promise<string | Fault> {
  try {
    const text = (await readFile(path)).replace(/\r?\n$/, '')
    return text === '' ? { message: 'found an empty file, expected a value in it' } : text
  } catch (error) {
    return { message: `found no readable file: ${error instanceof Error ? error.message : 'unknown error'}` }
  }
}

function overridesOf(variable: string, path: Path, text: string): readonly Override[] | Fault {
  if (path[0] === 'listen') {
    const [, six, four, port] = LISTEN_ADDRESS.exec(text) ?? []
    const host = six ?? four
    if (host === undefined) {
      return {
        message: `found ${JSON.stringify(text)}, expected host:port, such as 0.0.0.0:5000 or [::]:5000`,
      }
    }
    return [
      { variable, path: [...path, 'host'], value: host },
      { variable, path: [...path, 'port'], value: Number(port) },
    ]
  }
  const override = { variable, path, value: text }
  // A password of the environment replaces the file's, whichever way that one is given.
  if (path.at(-1) !== 'password') return [override]
  return [override, { variable, path: [...path.slice(0, -1), 'passwordFile'], value: undefined }]
}

function replaceAt(document: unknown, path: Path, value: unknown): unknown {
  const [head, ...rest] = path
  if (head === undefined) return value
  const base = document ?? {}
  // Something that is no mapping stays as it is, for the schema to complain about.
  if (!isRecord(base)) return document
  return { ...base, [String(head)]: replaceAt(base[String(head)], rest, value) }
}
