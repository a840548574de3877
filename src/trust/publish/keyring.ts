import { Metadata, type Root } from '@tufjs/models'
import { PublishError, reasonOf } from './error.ts'
import { shortId } from './key.ts'
import { addSignature, type OnlineRole, type Signed } from './metadata.ts'
import type { RoleSigner } from './signer.ts'
import type { State } from './state.ts'
import { isSignedBy } from './verify-repository.ts'

/** Opens what a key's reference names; see `openSigner`. */
export type OpenSigner = (reference: string) => Promise<RoleSigner>

export type KeyringInput = {
  readonly state: State
  /** IDs of the keys that are not asked; see `lostKeys`. */
  readonly lost: ReadonlySet<string>
  /** Every root whose clients must accept the signatures. */
  readonly roots: readonly Metadata<Root>[]
  readonly open: OpenSigner
  /** Hears of a key that could not sign although enough others could. */
  readonly warn: (line: string) => void
}

/** Signs with every key that any of the roots lists for the role. Throws PublishError where that is not enough. */
export type SignRole = <T extends Signed>(role: OnlineRole, signed: T) => Promise<Metadata<T>>

export function createKeyring({ state, lost, roots, open, warn }: KeyringInput): SignRole {
  return async (role, signed) => {
    const metadata = new Metadata(signed)
    const failures: PublishError[] = []
    const left: string[] = []
    const ids = new Set(roots.flatMap((root) => root.signed.roles[role]?.keyIDs ?? []))
    for (const id of ids) {
      if (lost.has(id)) {
        left.push(`key ${shortId(id)} is lost`)
        continue
      }
      const entry = state.signers[id]
      try {
        if (entry === undefined)
          throw new PublishError('key', `no file or KMS is known for key ${shortId(id)}`)
        await addSignature(metadata, expectKey(id, await open(entry.reference), entry.reference))
      } catch (error) {
        failures.push(error instanceof PublishError ? error : new PublishError('key', reasonOf(error), error))
      }
    }
    if (!roots.every((root) => isSignedBy(root, role, metadata))) {
      const [first] = failures
      const reasons = [...failures.map(reasonOf), ...left].join('; ')
      throw new PublishError(first?.code ?? 'signatures', `cannot sign ${role}: ${reasons}`, first)
    }
    for (const failure of failures) warn(`${role} is signed without one of its keys: ${failure.message}`)
    return metadata
  }
}

/** A file that was replaced, or an alias that was moved, must not sign as the key that the root lists. */
function expectKey(id: string, signer: RoleSigner, reference: string): RoleSigner {
  if (signer.key.keyID === id) return signer
  throw new PublishError(
    'key',
    `${reference} now holds key ${shortId(signer.key.keyID)}, but the root lists ${shortId(id)}; ` +
      'put that one back, or list the new one with rotate-root',
  )
}
