import { dirname, join } from 'node:path'
import { digestOf, type Digest } from '../oci/digest.ts'
import { parseImageReference, repositoryName, type Repository } from '../oci/reference.ts'
import { findingsOf, type Finding, type Path, type Problem, type Report } from '../policy/problem.ts'
import { DEFAULT_RING } from '../policy/ring.ts'
import type { Mode } from '../policy/types.ts'
import { locate, parseYaml, type YamlDocument } from '../policy/yaml-text.ts'
import { readPublicKey } from '../verify/public-key.ts'
import type { Claim, PublicKey, SignerIdentity } from '../verify/types.ts'
import {
  policyTestJsonSchema,
  policyTestSchema,
  type CaseDocument,
  type EvidenceDocument,
  type PolicyTestDocument,
} from './document.ts'

/** A test file that can be run: everything that it names has been read. */
export type TestSuite = {
  /** As it was named. */
  readonly file: string
  readonly unmatched: Mode | undefined
  /** By the reference under which policies name them. */
  readonly keys: ReadonlyMap<string, PublicKey>
  readonly cases: readonly TestCase[]
}

export type TestCase = Pick<
  CaseDocument,
  'name' | 'image' | 'invalid' | 'outages' | 'satisfiedBefore' | 'openBudget' | 'expect'
> & {
  /** Of the case in its file, from 1. */
  readonly line: number
  readonly repository: Repository
  readonly digest: Digest
  readonly ring: string
  /** Undefined: when the test is run. */
  readonly now: Date | undefined
  readonly evidence: readonly TestEvidence[]
}

export type TestEvidence =
  | { readonly kind: 'bundle'; readonly file: string; readonly bytes: Buffer }
  | {
      readonly kind: 'declared'
      readonly signer: DeclaredSigner
      readonly claim: Claim
      readonly trustRoot: string
      readonly logged: boolean
      readonly signedAt: Date | undefined
    }

/** A key by its id, or by the reference under which a policy names it. */
export type DeclaredSigner =
  | { readonly kind: 'keyless'; readonly identity: SignerIdentity }
  | { readonly kind: 'key'; readonly id: string }
  | { readonly kind: 'reference'; readonly reference: string }

export type SuiteLoad =
  | { readonly ok: true; readonly suites: readonly TestSuite[] }
  | { readonly ok: false; readonly problems: readonly Problem[] }

/** Of what a test file names; more is neither a bundle nor a predicate that a policy would look at. */
const FILE_BYTES_MAX = 16 * 1024 * 1024
const DEFAULT_TRUST_ROOT = 'public-good'

/** What one document needs to be resolved. */
type Resolving = {
  readonly file: string
  readonly read: (path: string) => Promise<Buffer>
  readonly lineOf: (path: Path) => number
  readonly report: Report
}

/** Reads test files and all that they name, or tells everything that is wrong with them. */
export async function loadSuites(
  files: readonly string[],
  read: (path: string) => Promise<Buffer>,
): Promise<SuiteLoad> {
  const loads = await Promise.all(files.map(async (file) => await loadFile(file, read)))
  const problems = loads.flatMap((load) => load.problems)
  return problems.length > 0
    ? { ok: false, problems }
    : { ok: true, suites: loads.flatMap(({ suites }) => suites) }
}

type FileLoad = { readonly suites: readonly TestSuite[]; readonly problems: readonly Problem[] }

async function loadFile(file: string, read: Resolving['read']): Promise<FileLoad> {
  const failed = (message: string): FileLoad => ({
    suites: [],
    problems: [{ file, line: undefined, path: '', message }],
  })
  let text: string
  try {
    text = (await read(file)).toString('utf8')
  } catch (error) {
    return failed(`not readable: ${messageOf(error)}`)
  }
  const { documents, problems } = parseYaml(file, text)
  const wanted = documents.filter(({ value }) => value !== null)
  if (wanted.length === 0 && problems.length === 0) return failed('found no document, expected a PolicyTest')
  const loads = await Promise.all(wanted.map(async (document) => await loadDocument(file, document, read)))
  return {
    suites: loads.flatMap(({ suites }) => suites),
    problems: [...problems, ...loads.flatMap((load) => load.problems)],
  }
}

async function loadDocument(
  file: string,
  document: YamlDocument,
  read: Resolving['read'],
): Promise<FileLoad> {
  const parsed = policyTestSchema.safeParse(document.value, { reportInput: true })
  if (!parsed.success) {
    const findings = findingsOf(parsed.error.issues, policyTestJsonSchema())
    return { suites: [], problems: locate(file, document, findings) }
  }
  const findings: Finding[] = []
  const report: Report = (path, message) => void findings.push({ path, message })
  const lineOf = (path: Path): number => document.lineOf(path)
  const suite = await resolveSuite(parsed.data, { file, read, lineOf, report })
  return { suites: [suite], problems: locate(file, document, findings) }
}

async function resolveSuite(document: PolicyTestDocument, resolving: Resolving): Promise<TestSuite> {
  const keys = await Promise.all(
    Object.entries(document.keys).map(async ([reference, file]) => {
      const key = await readKey(file, ['keys', reference], resolving)
      return key === undefined ? [] : [[reference, key] as const]
    }),
  )
  const cases = await Promise.all(
    document.cases.map(async (one, index) => await resolveCase(one, document, ['cases', index], resolving)),
  )
  return {
    file: resolving.file,
    unmatched: document.unmatched,
    keys: new Map(keys.flat()),
    cases: cases.flat(),
  }
}

async function resolveCase(
  document: CaseDocument,
  defaults: PolicyTestDocument,
  path: Path,
  resolving: Resolving,
): Promise<readonly TestCase[]> {
  const image = parseImageReference(document.image)
  if (image === undefined) return []
  const { repository, reference } = image
  const isReal = reference.kind === 'digest'
  const evidence = await Promise.all(
    document.evidence.map(async (one, index) => {
      const at = [...path, 'evidence', index]
      if (one.bundle !== undefined && !isReal) {
        resolving.report(
          at,
          `found a bundle for ${document.image}, expected an image with the digest that it is about`,
        )
      }
      return await resolveEvidence(one, at, resolving)
    }),
  )
  const resolved: TestCase = {
    ...document,
    line: resolving.lineOf(path),
    repository,
    digest: isReal ? reference.digest : digestOf(Buffer.from(repositoryName(repository))),
    ring: document.ring ?? defaults.ring ?? DEFAULT_RING,
    now: document.now ?? defaults.now,
    evidence: evidence.flat(),
  }
  return [resolved]
}

async function resolveEvidence(
  document: EvidenceDocument,
  path: Path,
  resolving: Resolving,
): Promise<readonly TestEvidence[]> {
  if (document.bundle !== undefined) {
    const bytes = await readNamed(document.bundle, [...path, 'bundle'], resolving)
    return bytes === undefined ? [] : [{ kind: 'bundle', file: document.bundle, bytes }]
  }
  const signer = await resolveSigner(document.signer, [...path, 'signer'], resolving)
  const claim = await resolveClaim(document.attestation, [...path, 'attestation'], resolving)
  if (signer === undefined || claim === undefined) return []
  const { trustRoot = DEFAULT_TRUST_ROOT, signedAt } = document
  const logged = document.logged ?? signer.kind === 'keyless'
  return [{ kind: 'declared', signer, claim, trustRoot, logged, signedAt }]
}

async function resolveSigner(
  document: EvidenceDocument['signer'],
  path: Path,
  resolving: Resolving,
): Promise<DeclaredSigner | undefined> {
  const { issuer, subject, extensions = {}, key } = document ?? {}
  if (key !== undefined) return await resolveKey(key, [...path, 'key'], resolving)
  if (issuer === undefined || subject === undefined) return undefined
  const subjectType = subject.includes('://') ? 'uri' : subject.includes('@') ? 'email' : 'username'
  return { kind: 'keyless', identity: { issuer, subject, subjectType, extensions } }
}

async function resolveKey(
  { id, reference, file }: NonNullable<NonNullable<EvidenceDocument['signer']>['key']>,
  path: Path,
  resolving: Resolving,
): Promise<DeclaredSigner | undefined> {
  if (reference !== undefined) return { kind: 'reference', reference }
  if (id !== undefined) return { kind: 'key', id }
  const read = await readKey(file ?? '', [...path, 'file'], resolving)
  return read === undefined ? undefined : { kind: 'key', id: read.id }
}

async function resolveClaim(
  document: EvidenceDocument['attestation'],
  path: Path,
  resolving: Resolving,
): Promise<Claim | undefined> {
  if (document === undefined) return { kind: 'signature' }
  const { predicateType, predicate, predicateFile } = document
  if (predicateFile === undefined) return { kind: 'attestation', statement: { predicateType, predicate } }
  const at = [...path, 'predicateFile']
  const bytes = await readNamed(predicateFile, at, resolving)
  if (bytes === undefined) return undefined
  try {
    const read: unknown = JSON.parse(bytes.toString('utf8'))
    return { kind: 'attestation', statement: { predicateType, predicate: read } }
  } catch (error) {
    return resolving.report(at, `found no JSON: ${messageOf(error)}`)
  }
}

async function readKey(file: string, path: Path, resolving: Resolving): Promise<PublicKey | undefined> {
  const bytes = await readNamed(file, path, resolving)
  if (bytes === undefined) return undefined
  const key = readPublicKey(bytes.toString('utf8'))
  return 'problem' in key ? resolving.report(path, key.problem) : key
}

async function readNamed(
  name: string,
  path: Path,
  { file, read, report }: Resolving,
): Promise<Buffer | undefined> {
  try {
    const bytes = await read(join(dirname(file), name))
    if (bytes.length <= FILE_BYTES_MAX) return bytes
    return report(path, `found ${bytes.length} bytes, expected at most ${FILE_BYTES_MAX}`)
  } catch (error) {
    return report(path, `found no readable file: ${messageOf(error)}`)
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : 'unknown error'
}
