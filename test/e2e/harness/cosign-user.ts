import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { identityToken, type SigstoreServer } from '../../../src/testing/sigstore-server.ts'
import { cosignPath, type CosignMajor } from './cosign.ts'
import { run, type Result } from './process.ts'

export type CosignFormat = 'bundle' | 'old'

export type CosignUserInput = {
  readonly major: CosignMajor
  readonly format: CosignFormat
  /** Made here. */
  readonly home: string
  /** The first `root.json` that the user trusts. */
  readonly root: string
  readonly services: SigstoreServer
  readonly signer: { readonly issuer: string; readonly subject: string }
}

/** cosign with a home of its own, no way out of this machine, and a blob to sign. */
export type CosignUser = {
  initialize(mirror: { readonly url: string }): Promise<Result>
  sign(): Promise<Result>
  verify(identity: string): Promise<Result>
}

export async function createCosignUser(input: CosignUserInput): Promise<CosignUser> {
  const { major, format, home, root, services, signer } = input
  await mkdir(home)
  await writeFile(join(home, 'blob'), 'hello')
  const nowhere = 'http://127.0.0.1:9'
  const env = {
    HOME: home,
    TUF_ROOT: join(home, 'tuf'),
    HTTPS_PROXY: nowhere,
    HTTP_PROXY: nowhere,
    NO_PROXY: '127.0.0.1',
  }
  const cosign = (...args: readonly string[]) =>
    run({ command: cosignPath(major) ?? '', args, env, cwd: home }, 60_000)
  // cosign 3 finds the services in the signing config that came through TUF.
  const urls = [`--fulcio-url=${services.url}`, `--rekor-url=${services.url}`]
  const bundle = [`--new-bundle-format=${format === 'bundle'}`, '--bundle=bundle.json', 'blob']
  const where = major === 2 ? urls : format === 'old' ? [...urls, '--use-signing-config=false'] : []
  const token = `--identity-token=${identityToken(signer)}`
  return {
    initialize: ({ url }) => cosign('initialize', `--mirror=${url}`, `--root=${root}`),
    sign: () => cosign('sign-blob', '--yes', token, ...where, ...bundle),
    verify: (identity) =>
      cosign(
        'verify-blob',
        `--certificate-identity=${identity}`,
        `--certificate-oidc-issuer=${signer.issuer}`,
        ...bundle,
      ),
  }
}
