import { pkiRootOf, readAuthorities, type Authority } from '../../verify/pki-root.ts'
import type { TrustRoot } from '../../verify/types.ts'
import { NO_PARTS, type HeldItem, type SourceParts, type SourceStatus, type TrustSource } from '../source.ts'
import { TrustError } from '../trust-error.ts'
import type { PinnedDeps } from './pinned.ts'

export type PkiOptions = {
  readonly name: string
  /** PEM: roots and intermediates. */
  readonly path: string
  /** The trust root whose logs and timestamp authorities say when something was signed, and what it is called. */
  readonly times: { readonly name: string; readonly source: Pick<TrustSource, 'parts'> | undefined }
  readonly refreshEveryMs: number
}

/** When the last authority of its level ends, a new one has to be made and handed out: that takes a while. */
const ENDING_MS = 30 * 86_400_000

/** Authorities of the operator's own PKI, in a file. They have no age: whoever put them there answers for them. */
export class PkiSource implements TrustSource {
  readonly name: string
  readonly refreshEveryMs: number
  readonly #options: PkiOptions
  readonly #deps: PinnedDeps
  #authorities: readonly Authority[]
  /** By version of the root that gives the times: a root that is the same stays the same object. */
  readonly #roots = new Map<string, TrustRoot>()
  #renewedAt: Date
  #problem: string | undefined

  private constructor(options: PkiOptions, deps: PinnedDeps, authorities: readonly Authority[]) {
    this.name = options.name
    this.refreshEveryMs = options.refreshEveryMs
    this.#options = options
    this.#deps = deps
    this.#authorities = authorities
    this.#renewedAt = deps.now()
  }

  /** Rejects with TrustError `trust-root`. */
  static async open(options: PkiOptions, deps: PinnedDeps): Promise<PkiSource> {
    return new PkiSource(options, deps, await read(options, deps))
  }

  parts(now: Date): SourceParts {
    const { name, source } = this.#options.times
    const { roots, unusable = 'is not loaded' } = source?.parts(now) ?? NO_PARTS
    if (roots.length > 0) return { ...NO_PARTS, roots: roots.map((times) => this.#rootWith(times)) }
    return { ...NO_PARTS, unusable: `trust root ${name}, which says when something was signed: ${unusable}` }
  }

  async refresh(): Promise<void> {
    try {
      const authorities = await read(this.#options, this.#deps)
      if (versionOf(authorities) !== versionOf(this.#authorities)) {
        this.#authorities = authorities
        this.#roots.clear()
      }
      this.#renewedAt = this.#deps.now()
      this.#problem = undefined
    } catch (error) {
      this.#problem = error instanceof Error ? error.message : 'not readable'
      throw error
    }
  }

  status(now: Date): SourceStatus {
    const { roots, unusable } = this.parts(now)
    const warning = endingOf(this.#authorities, now)
    const isStale = warning !== undefined
    return {
      name: this.name,
      kind: 'pki',
      origin: this.#options.path,
      state: unusable === undefined ? (isStale ? 'stale' : 'fresh') : 'unusable',
      problem: unusable ?? this.#problem ?? warning,
      renewedAt: this.#renewedAt,
      warnsAt: undefined,
      stopsAt: undefined,
      documents: roots.map(({ version, isRetiring }) => ({ version, isRetiring })),
      roles: [],
      servableUntil: undefined,
      held: this.#authorities.map((authority) => itemOf(authority, this.#authorities)),
    }
  }

  #rootWith(times: TrustRoot): TrustRoot {
    const key = `${times.version} ${String(times.isRetiring)}`
    const known = this.#roots.get(key)
    if (known !== undefined) return known
    const root = pkiRootOf(this.name, this.#authorities, times)
    // Both parts were read before, each by itself.
    if ('problem' in root) throw new TrustError('trust-root', `trust root ${this.name}: ${root.problem}`)
    // What came before in a rotation comes no more.
    if (this.#roots.size >= ROOTS_KEPT_MAX) this.#roots.clear()
    this.#roots.set(key, root)
    return root
  }
}

/** One that stays and one that retires, before and after a renewal. */
const ROOTS_KEPT_MAX = 4

function versionOf(authorities: readonly Authority[]): string {
  return authorities.map(({ certificate }) => certificate.der.toString('base64')).join()
}

/** Whether another authority of the same level goes on after it. */
function hasSuccessor({ certificate, isRoot }: Authority, authorities: readonly Authority[]): boolean {
  return authorities.some(
    (other) => other.isRoot === isRoot && other.certificate.notAfter > certificate.notAfter,
  )
}

function itemOf(authority: Authority, authorities: readonly Authority[]): HeldItem {
  const { subjectName, serialNumber, notBefore, notAfter } = authority.certificate
  return {
    what: 'certificate-authority',
    name: `${subjectName} serial ${serialNumber.toString('hex')}`,
    from: notBefore,
    until: notAfter,
    isRetiring: hasSuccessor(authority, authorities),
  }
}

/** What somebody should look at, in one line: nothing of its level goes on after it. */
function endingOf(authorities: readonly Authority[], now: Date): string | undefined {
  const ending = authorities.find(
    (authority) =>
      authority.certificate.notAfter.getTime() - now.getTime() <= ENDING_MS &&
      !hasSuccessor(authority, authorities),
  )
  if (ending === undefined) return undefined
  const { subjectName, notAfter } = ending.certificate
  const verb = notAfter < now ? 'ended' : 'ends'
  return `${subjectName} ${verb} ${notAfter.toISOString()}, and none goes on after it: what is signed later does not count`
}

async function read({ name, path }: PkiOptions, deps: PinnedDeps): Promise<readonly Authority[]> {
  let pem: string
  try {
    pem = await deps.readFile(path)
  } catch (error) {
    const reason = error instanceof Error ? error.message : 'unknown error'
    throw new TrustError('trust-root', `trust root ${name}: ${path} cannot be read: ${reason}`, error)
  }
  const authorities = readAuthorities(pem)
  if ('problem' in authorities)
    throw new TrustError('trust-root', `trust root ${name}: ${path}: ${authorities.problem}`)
  return authorities
}
