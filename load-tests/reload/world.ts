import { generateKeyPairSync } from 'node:crypto'
import { mkdir, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { signImage } from '../../src/testing/evidence.ts'
import { buildImage, descriptorOf, publishImage } from '../../src/testing/images.ts'
import { createSigstore, managedSigner, type Signer, type Sigstore } from '../../src/testing/sigstore.ts'
import { createTufRepository } from '../../src/testing/tuf-repository.ts'
import { createColdWorld, IDENTITY, policyFor, type ColdWorld } from '../cold/world.ts'
import type { PortcullisOptions } from '../peers.ts'

/** Two signers of each kind; what changes is which of them counts. */
export const SIDES = ['a', 'b'] as const
export type Side = (typeof SIDES)[number]

/** Where it is said who counts: in a policy, or in a trust root of one kind. */
const SUBJECTS = ['policy', 'keys', 'pinned', 'tuf'] as const
export type Subject = (typeof SUBJECTS)[number]

export type ReloadWorld = AsyncDisposable & {
  readonly cold: ColdWorld
  readonly proxyOptions: PortcullisOptions
  /** Says that from now on this side counts, and nobody of it: the proxy has yet to look. */
  write(subject: Subject, side: Side): Promise<void>
}

export function probeRepository(subject: Subject, side: Side): string {
  return `${subject}/${side}`
}

export const PROBE_TAG = 'v1'
/** Of the policy file that changes, below the proxy's directory of policies: after those that do not. */
const POLICY_FILE = 'probe.yaml'
const POLICY_LOOKED_AT = '1s'

type Signers = {
  readonly keys: Readonly<Record<Side, { readonly pem: string; readonly signer: Signer }>>
  readonly stores: Readonly<Record<Side, Sigstore>>
}

/** At first side a counts everywhere. */
export async function createReloadWorld(directory: string): Promise<ReloadWorld> {
  await using stack = new AsyncDisposableStack()
  const cold = stack.use(await createColdWorld())
  const signers = {
    keys: { a: newKey(), b: newKey() },
    stores: { a: await createSigstore(), b: await createSigstore() },
  }
  const targets = (side: Side) => ({ 'trusted_root.json': signers.stores[side].trustedRootJson() })
  const tuf = stack.use(await createTufRepository({ targets: targets('a') }))
  await publishProbes(cold, signers)
  const policies = join(directory, 'policies')
  const files = {
    policy: join(policies, POLICY_FILE),
    keys: join(directory, 'release.pem'),
    pinned: join(directory, 'pinned.json'),
    root: join(directory, 'root.json'),
  }
  const write: ReloadWorld['write'] = async (subject, side) => {
    switch (subject) {
      case 'policy':
        return await replace(files.policy, JSON.stringify(policyFor('policy', keyOf(signers.keys[side]))))
      case 'keys':
        return await replace(files.keys, signers.keys[side].pem)
      case 'pinned':
        return await replace(files.pinned, signers.stores[side].trustedRootJson())
      case 'tuf':
        return tuf.publish(targets(side))
    }
  }
  await mkdir(policies, { recursive: true })
  await writeFile(files.root, tuf.root())
  for (const subject of SUBJECTS) if (subject !== 'tuf') await write(subject, 'a')
  const proxyOptions = await cold.proxyOptions(directory, {
    policies: [
      policyFor('keys', { key: { keySet: 'release' } }),
      policyFor('pinned', { keyless: { trustRoot: 'pinned', identities: [IDENTITY] } }),
      policyFor('tuf', { keyless: { trustRoot: 'mirrored', identities: [IDENTITY] } }),
    ],
    roots: {
      release: { kind: 'keys', keys: [{ path: files.keys }] },
      pinned: { kind: 'pinned', path: files.pinned },
      mirrored: { kind: 'tuf', url: tuf.url, root: files.root },
    },
    config: { policies: { directory: policies, unmatched: 'enforce', reloadEvery: POLICY_LOOKED_AT } },
  })
  const owned = stack.move()
  return { cold, proxyOptions, write, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

function newKey(): { pem: string; signer: Signer } {
  const pair = generateKeyPairSync('ec', { namedCurve: 'prime256v1' })
  return {
    pem: pair.publicKey.export({ format: 'pem', type: 'spki' }).toString(),
    signer: managedSigner(pair),
  }
}

/** Nobody ever reads half of it. */
async function replace(path: string, text: string): Promise<void> {
  const written = `${path}.new`
  await writeFile(written, text)
  await rename(written, path)
}

async function publishProbes({ registry }: ColdWorld, { keys, stores }: Signers): Promise<void> {
  for (const subject of SUBJECTS) {
    for (const side of SIDES) {
      const repository = probeRepository(subject, side)
      const image = buildImage({ files: { 'etc/name': repository } })
      publishImage(registry, repository, PROBE_TAG, image)
      const place = { registry, repository, subject: descriptorOf(image) }
      const isKeyless = subject === 'pinned' || subject === 'tuf'
      // oxlint-disable-next-line no-await-in-loop -- eight, before anything is measured
      await (isKeyless
        ? signImage(place, stores[side], stores[side].keyless(IDENTITY))
        : signImage(place, stores[side], keys[side].signer, { form: 'tag', log: 0 }))
    }
  }
}

function keyOf({ pem }: { readonly pem: string }): object {
  return { key: { data: pem } }
}
