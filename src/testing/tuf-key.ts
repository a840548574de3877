import { generateKeyPairSync, hash, sign } from 'node:crypto'
import { Key, Signature } from '@tufjs/models'

/** An Ed25519 key as TUF metadata names it. */
export type TufKey = {
  readonly key: Key
  readonly sign: (bytes: Buffer) => Signature
}

const RAW_KEY_BYTES = 32

export function createTufKey(): TufKey {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const raw = publicKey.export({ format: 'der', type: 'spki' }).subarray(-RAW_KEY_BYTES).toString('hex')
  const keyID = hash('sha256', raw, 'hex')
  return {
    key: new Key({ keyID, keyType: 'ed25519', scheme: 'ed25519', keyVal: { public: raw } }),
    sign: (bytes) => new Signature({ keyID, sig: sign(null, bytes, privateKey).toString('hex') }),
  }
}
