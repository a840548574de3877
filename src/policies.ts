import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { compilePolicies } from './config/policy-files.ts'
import type { PolicyBundleDocument } from './config/policy-bundle-schema.ts'
import type { Config } from './config/schema.ts'
import type { CurrentEpoch } from './core.ts'
import { parseImageReference } from './oci/reference.ts'
import { keyReferencesOf } from './policy/bind.ts'
import type { IndexedPolicySet } from './policy/policy-index.ts'
import { problemText, type Problem } from './policy/problem.ts'
import { DirectorySource } from './policy-source/directory.ts'
import { PolicyKeeper } from './policy-source/keeper.ts'
import { NO_SOURCE } from './policy-source/none.ts'
import type { PolicySource } from './policy-source/source.ts'
import type { OpenTrust } from './trust/open.ts'
import type { Upstreams } from './upstream/types.ts'
import type { Watch } from './watch.ts'
import { countLoaded } from './wiring.ts'
import type { VerificationRunner } from './work/runner.ts'
import { finishInTurns } from './work/turns.ts'
import type { KeeperRule } from './workers/keeper-rule.ts'

export type PolicyParts = {
  readonly trust: OpenTrust
  readonly upstreams: Upstreams
  readonly runner: VerificationRunner
  readonly current: CurrentEpoch
  readonly watch: Pick<Watch, 'log' | 'metrics' | 'policies' | 'onPolicies' | 'onError'>
  readonly now: () => Date
  /** Undefined: there are no workers. */
  readonly rule?: Pick<KeeperRule, 'compiled' | 'policies'> | undefined
  /** Told of every set that comes into force. Throws StoreError. */
  readonly noteStages: (set: IndexedPolicySet) => void
}

/** A source, and the keys that it needs itself whatever the policies say. */
type OpenSource = { readonly source: PolicySource; readonly references: readonly string[] }
type Result<T> = ({ readonly ok: true } & T) | { readonly ok: false; readonly problems: readonly Problem[] }

/** A key that a new set names is waited for so long; then its policies are undetermined until it is there. */
const KEY_LIMIT_MS = 5_000
/** At the start, a bundle is waited for so long; then every image is held until it is there. */
const FIRST_READ_LIMIT_MS = 20_000

/** Opens what the policies come from, and puts them in force. Gives all that is wrong where it cannot begin. */
export async function openPolicies(
  config: Config,
  parts: PolicyParts,
): Promise<{ ok: true; keeper: PolicyKeeper } | { ok: false; problems: readonly string[] }> {
  const opened = await openSource(config, parts)
  if (!opened.ok) return { ok: false, problems: opened.problems.map(problemText) }
  const { trust, current, watch, now } = parts
  const namedBy = (set: IndexedPolicySet) => [...opened.references, ...keyReferencesOf(set)]
  const limit = () => (config.trust.refresh === 'on' ? AbortSignal.timeout(KEY_LIMIT_MS) : undefined)
  await trust.namedKeys.add(opened.references, limit())
  const result = await PolicyKeeper.open(
    {
      source: opened.source,
      async compile(files) {
        const load = await finishInTurns(compilePolicies(config, files))
        if (load.ok) parts.rule?.compiled(load.set, files)
        return load
      },
      prepare: async (set) => await trust.namedKeys.add(namedBy(set), limit()),
      begin(inForce) {
        // No request comes between the two: those of the old set ended with it.
        trust.namedKeys.keep(namedBy(inForce.set))
        current.begin(inForce, trust.keeper.snapshot)
        parts.rule?.policies(inForce)
        countLoaded(watch.metrics, inForce.set)
        // Without an origin nothing was ever had, and what is in force is no set of anybody's.
        if (inForce.origin === undefined) return
        try {
          parts.noteStages(inForce.set)
        } catch (error) {
          // Stages begin late then; that is no reason to go without the policies.
          watch.onError(error)
        }
      },
      now,
      onEvent: (event) => watch.onPolicies(event),
    },
    AbortSignal.timeout(FIRST_READ_LIMIT_MS),
  )
  if (!result.ok) return { ok: false, problems: result.problems.map(problemText) }
  watch.policies.watch(() => result.keeper)
  return { ok: true, keeper: result.keeper }
}

async function openSource(config: Config, parts: PolicyParts): Promise<Result<OpenSource>> {
  const { directory, bundle, reloadEveryMs } = config.policies
  if (bundle !== undefined) return await openBundle(bundle, config, parts)
  const source =
    directory === undefined ? NO_SOURCE : new DirectorySource({ directory, lookEveryMs: reloadEveryMs })
  return { ok: true, source, references: [] }
}

async function openBundle(
  bundle: PolicyBundleDocument,
  { trust, dataDirectory }: Pick<Config, 'trust' | 'dataDirectory'>,
  parts: PolicyParts,
): Promise<Result<OpenSource>> {
  const [{ createRootPolicy }, { BundleSource }, { KeptBundle }] = await Promise.all([
    import('./policy-source/bundle/root-policy.ts'),
    import('./policy-source/bundle/source.ts'),
    import('./policy-source/bundle/kept-bundle.ts'),
  ])
  const image = parseImageReference(bundle.image)
  const client = image === undefined ? undefined : parts.upstreams.client(image.repository.registry)
  if (image === undefined || client === undefined) throw new TypeError('the configuration was not checked')
  const signers = await Promise.all(
    bundle.signers.map(async ({ key, ...signer }) =>
      key === undefined ? signer : { ...signer, pem: await readFile(key, 'utf8') },
    ),
  )
  const trustRoots = new Set([...trust.roots].flatMap(([name, { kind }]) => (kind === 'keys' ? [] : [name])))
  const { threshold, refreshEveryMs } = bundle
  const root = createRootPolicy({ repository: image.repository, signers, threshold, trustRoots })
  if (!root.ok) return root
  const source = new BundleSource(
    { image, lookEveryMs: refreshEveryMs },
    {
      root: root.set,
      client,
      runner: parts.runner,
      trust: () => parts.trust.keeper.snapshot,
      disk: new KeptBundle(bundle.image, join(dataDirectory, 'policies')),
      now: parts.now,
      onKeptTrouble: (message) => parts.watch.log.error({ event: 'policies', kind: 'kept' }, message),
    },
  )
  return { ok: true, source, references: keyReferencesOf(root.set) }
}
