import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Identity } from '../../../src/testing/fulcio.ts'
import { identityToken, startSigstoreServer } from '../../../src/testing/sigstore-server.ts'
import { createSigstore } from '../../../src/testing/sigstore.ts'
import { toPem } from '../../../src/testing/certificate.ts'
import { must } from './process.ts'
import { find } from './tools.ts'

export const COSIGN_MAJORS = [2, 3] as const
export type CosignMajor = (typeof COSIGN_MAJORS)[number]

/** PORTCULLIS_E2E_COSIGN2 and _COSIGN3 say where each is; `cosign2` and `cosign3` on PATH otherwise. */
export function cosignPath(major: CosignMajor): string | undefined {
  return find(process.env[`PORTCULLIS_E2E_COSIGN${major}`] ?? `cosign${major}`)
}

/** A private Sigstore on 127.0.0.1, its trust root in files for cosign and the proxy. */
export type PrivateSigstore = {
  readonly url: string
  readonly trustedRoot: string
  readonly signingConfig: string
  /** For cosign 2, which asks the public instance's TUF repository for whatever it is not given by these. */
  readonly env: Readonly<Record<string, string>>
}

export async function startPrivateSigstore(
  stack: AsyncDisposableStack,
  directory: string,
): Promise<PrivateSigstore> {
  const own = join(directory, 'sigstore')
  await mkdir(own)
  const sigstore = await createSigstore()
  const server = await startSigstoreServer(sigstore)
  stack.use(server)
  const write = async (name: string, text: string): Promise<string> => {
    await writeFile(join(own, name), text)
    return join(own, name)
  }
  const { fulcio, logs } = sigstore
  return {
    url: server.url,
    trustedRoot: await write('trusted_root.json', sigstore.trustedRootJson()),
    signingConfig: await write('signing_config.json', server.signingConfigJson()),
    env: {
      SIGSTORE_ROOT_FILE: await write('fulcio.pem', fulcio.chain.map((der) => toPem(der)).join('')),
      SIGSTORE_REKOR_PUBLIC_KEY: await write('rekor.pem', toPem(logs.v1.publicKeyDer, 'PUBLIC KEY')),
      SIGSTORE_CT_LOG_PUBLIC_KEY_FILE: await write('ct.pem', toPem(fulcio.ctLog.publicKey, 'PUBLIC KEY')),
    },
  }
}

export type KeyFiles = { readonly privateKey: string; readonly publicKey: string }

/** A key pair by cosign itself, without a password. */
export async function generateKeys(program: string, directory: string, name: string): Promise<KeyFiles> {
  const prefix = join(directory, name)
  const args = ['generate-key-pair', `--output-key-prefix=${prefix}`]
  await must({ command: program, args, env: { COSIGN_PASSWORD: '' } })
  return { privateKey: `${prefix}.key`, publicKey: `${prefix}.pub` }
}

type Signing =
  | { readonly by: 'key'; readonly key: KeyFiles }
  | { readonly by: 'identity'; readonly identity: Identity; readonly sigstore: PrivateSigstore }

/** `sign` signs the image; `attest` a predicate about it. */
export type CosignInput = {
  readonly major: CosignMajor
  /** `host/repository@digest`. */
  readonly image: string
  readonly what:
    | { readonly kind: 'sign' }
    | { readonly kind: 'attest'; readonly predicateFile: string; readonly predicateType: string }
  readonly signing: Signing
}

function signerArguments(major: CosignMajor, signing: Signing): readonly string[] {
  if (signing.by === 'key') {
    const withoutServices = major === 3 ? ['--use-signing-config=false'] : []
    return [`--key=${signing.key.privateKey}`, ...withoutServices, '--tlog-upload=false']
  }
  const { identity, sigstore } = signing
  const token = `--identity-token=${identityToken(identity)}`
  return major === 2
    ? [token, `--fulcio-url=${sigstore.url}`, `--rekor-url=${sigstore.url}`]
    : [token, `--signing-config=${sigstore.signingConfig}`, `--trusted-root=${sigstore.trustedRoot}`]
}

/** Each major version in its own default format: 2 writes `.sig` and `.att` tags, 3 bundles as referrers. */
export async function cosign({ major, image, what, signing }: CosignInput): Promise<void> {
  const program = cosignPath(major)
  if (program === undefined) throw new Error(`no cosign ${major}`)
  const subject =
    what.kind === 'sign' ? [] : [`--predicate=${what.predicateFile}`, `--type=${what.predicateType}`]
  const args = [
    what.kind,
    ...signerArguments(major, signing),
    ...subject,
    '--yes',
    '--allow-insecure-registry',
    '--allow-http-registry',
    image,
  ]
  const sigstoreEnv = signing.by === 'identity' && major === 2 ? signing.sigstore.env : {}
  await must({ command: program, args, env: { COSIGN_PASSWORD: '', ...sigstoreEnv } }, 60_000)
}
