import { createPrivateKey, createPublicKey, sign, type KeyObject } from 'node:crypto'
import type { Key } from '@tufjs/models'
import { readNamed, type Disk } from './disk.ts'
import { PublishError, reasonOf } from './error.ts'
import { tufKey } from './key.ts'
import type { ConnectKms } from './kms-signer.ts'

/** A key that can sign, wherever it lies. */
export type RoleSigner = {
  readonly key: Key
  /** The signature over `bytes`, in the form that the key's TUF scheme asks for. Throws PublishError. */
  sign(bytes: Buffer): Promise<Buffer>
}

export type SignerIo = {
  readonly disk: Disk
  readonly connectKms: ConnectKms
  /** For an encrypted PKCS#8 file. */
  readonly passphrase?: string | undefined
}

export const KMS_SCHEME = 'awskms://'

/**
 * `awskms://[host[:port]]/KEY`, or the path of a PKCS#8 file. Throws PublishError `key` where the key must not be used as
 * it is, with what to do about it, and `unavailable` where a KMS does not answer.
 */
export async function openSigner(reference: string, io: SignerIo): Promise<RoleSigner> {
  return reference.startsWith(KMS_SCHEME) ? openKms(reference, io) : openFile(reference, io)
}

async function openKms(reference: string, { connectKms }: SignerIo): Promise<RoleSigner> {
  const kms = await connectKms(reference)
  const publicKey = createPublicKey({ key: kms.publicKeyDer, format: 'der', type: 'spki' })
  const key = tufKey(publicKey, reference)
  if (key.keyType !== 'ecdsa') {
    throw new PublishError('key', `${reference} is no ECC_NIST_P256 key; create one for SIGN_VERIFY`)
  }
  return { key, sign: (bytes) => kms.sign(bytes) }
}

async function openFile(path: string, { disk, passphrase }: SignerIo): Promise<RoleSigner> {
  const pem = (await readNamed(disk, path)).toString('latin1')
  // After reading, so that a missing file is reported as missing.
  const { mode } = await disk.stat(path)
  const readableByOthers = 0o077
  if ((mode & readableByOthers) !== 0) {
    const octal = (mode & 0o777).toString(8).padStart(4, '0')
    throw new PublishError('key', `${path} can be read by others (mode ${octal}): chmod 600 ${path}`)
  }
  const privateKey = parsePrivateKey(pem, path, passphrase)
  const digest = privateKey.asymmetricKeyType === 'ed25519' ? null : 'sha256'
  return {
    key: tufKey(createPublicKey(privateKey), path),
    sign: (bytes) => Promise.resolve(sign(digest, bytes, privateKey)),
  }
}

function parsePrivateKey(pem: string, path: string, passphrase: string | undefined): KeyObject {
  const label = /-----BEGIN ([A-Z0-9 ]+)-----/.exec(pem)?.[1]
  const isEncrypted = label === 'ENCRYPTED PRIVATE KEY'
  if (label !== 'PRIVATE KEY' && !isEncrypted) throw new PublishError('key', adviceFor(label, path))
  if (isEncrypted && passphrase === undefined) {
    throw new PublishError('key', `${path} is encrypted: set TUF_KEY_PASSPHRASE`)
  }
  try {
    return createPrivateKey(passphrase === undefined || !isEncrypted ? pem : { key: pem, passphrase })
  } catch (error) {
    throw new PublishError('key', `${path} cannot be read as a PKCS#8 key: ${reasonOf(error)}`, error)
  }
}

function adviceFor(label: string | undefined, path: string): string {
  if (label === 'PUBLIC KEY') return `${path} is a public key; signing needs the private one`
  if (label === 'EC PRIVATE KEY') {
    return `${path} is a SEC 1 key; convert it: openssl pkcs8 -topk8 -nocrypt -in ${path} -out NEW`
  }
  const what = label === undefined ? 'no PEM' : label
  return `${path} is no PKCS#8 key (${what}); make one: openssl genpkey -algorithm ed25519 -out FILE`
}
