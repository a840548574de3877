import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Command } from 'commander'
import { digestOf, parseDigest } from '../oci/digest.ts'
import { loadPublicGoodRoot, loadStagingRoot } from '../trust/public-good.ts'
import { TrustError } from '../trust/trust-error.ts'
import { parseTrustRoot } from '../trust/trust-root.ts'
import { readPublicKey } from '../verify/public-key.ts'
import type { CandidateResult, PublicKey, TrustRoot } from '../verify/types.ts'
import { verifyCandidate, type SubjectInput } from '../verify/verify.ts'

export type VerifyBundleOptions = {
  /** Path of the bundle. */
  readonly bundle: string
  readonly certificateIdentity?: string
  readonly certificateOidcIssuer?: string
  /** Path of a PEM public key; instead of an identity. */
  readonly key?: string
  /** Path of a trusted_root.json. Default: the public-good instance's, or with `staging` that one's. */
  readonly trustedRoot?: string
  readonly staging?: boolean
  /** Path of the artifact, or its digest as `sha256:<hex>`. */
  readonly artifact: string
}

export type CommandOutput = {
  stdout(text: string): void
  stderr(text: string): void
}

const EXIT = { accepted: 0, refused: 1, usage: 3 } as const

/** A command line that cannot be acted on, as opposed to a bundle that proves nothing. */
class UsageError extends Error {
  override readonly name = 'UsageError'
}

type Signer = { readonly identity: string; readonly issuer: string } | { readonly key: string }

function signerOf(options: VerifyBundleOptions): Signer {
  const { key, certificateIdentity: identity, certificateOidcIssuer: issuer } = options
  if (key !== undefined) {
    if (identity === undefined && issuer === undefined) return { key }
    throw new UsageError('give either --key or an identity with its issuer, not both')
  }
  if (identity === undefined || issuer === undefined || identity === '' || issuer === '') {
    throw new UsageError('give --key, or --certificate-identity with --certificate-oidc-issuer')
  }
  return { identity, issuer }
}

async function readInput(path: string, what: string): Promise<Buffer> {
  try {
    return await readFile(resolve(path))
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new UsageError(`cannot read the ${what}: ${reason}`)
  }
}

async function loadRoot(options: VerifyBundleOptions): Promise<TrustRoot> {
  if (options.trustedRoot !== undefined) {
    const json = await readInput(options.trustedRoot, 'trusted root')
    return parseTrustRoot('trusted-root', json.toString('utf8'))
  }
  return options.staging === true ? loadStagingRoot() : loadPublicGoodRoot()
}

async function loadKey(path: string): Promise<PublicKey> {
  const pem = await readInput(path, 'key')
  const key = readPublicKey(pem.toString('utf8'))
  if ('problem' in key) throw new UsageError(`public key: ${key.problem}`)
  return key
}

async function subjectOf(artifact: string): Promise<Pick<SubjectInput, 'subject' | 'artifact'>> {
  const digest = parseDigest(artifact)
  if (digest !== undefined) return { subject: digest }
  const bytes = await readInput(artifact, 'artifact')
  return { subject: digestOf(bytes), artifact: bytes }
}

/** Why the result does not satisfy the command line, or undefined where it does. */
function refusalOf({ verified, failures }: CandidateResult, signer: Signer): string | undefined {
  const [first] = verified
  if (first === undefined) {
    const failure = failures[0]
    return failure === undefined ? 'nothing verified' : `${failure.code}: ${failure.message}`
  }
  if ('key' in signer) {
    if (first.signer.kind !== 'key') return 'key: signed with a certificate, expected a key'
    // Sigstore clients ask for a log entry and a signed time of keys too, unless told otherwise.
    if (first.logs.length === 0) return 'log-entry: signature is in no known transparency log'
    return first.times.length > 0 ? undefined : 'timestamp: signature has no signed time'
  }
  if (first.signer.kind !== 'keyless') return 'key: signed with a key, expected a certificate'
  const { subject, issuer } = first.signer.identity
  if (subject !== signer.identity) return `identity: signed by ${subject}, expected ${signer.identity}`
  return issuer === signer.issuer ? undefined : `identity: issuer is ${issuer}, expected ${signer.issuer}`
}

async function verifyBundle(options: VerifyBundleOptions): Promise<string | undefined> {
  const signer = signerOf(options)
  const root = await loadRoot(options)
  const keys = 'key' in signer ? [await loadKey(signer.key)] : []
  const bytes = await readInput(options.bundle, 'bundle')
  const file = digestOf(bytes)
  const result = verifyCandidate(
    { form: 'bundle', source: { found: 'file', manifest: file, blob: file }, bytes },
    { ...(await subjectOf(options.artifact)), roots: [root], keys },
  )
  return refusalOf(result, signer)
}

/**
 * `verify-bundle` of the sigstore-conformance protocol (docs/cli_protocol.md): offline, exact identity and issuer.
 * Resolves to 0 where the bundle proves that the signer signed the artifact, 1 where it does not, 3 where the command
 * line, a key or a trusted root is unusable.
 */
export async function verifyBundleCommand(
  options: VerifyBundleOptions,
  output: CommandOutput,
): Promise<number> {
  try {
    const refusal = await verifyBundle(options)
    if (refusal === undefined) {
      output.stdout('verified\n')
      return EXIT.accepted
    }
    output.stderr(`refused: ${oneLine(refusal)}\n`)
    return EXIT.refused
  } catch (error) {
    if (!(error instanceof UsageError || error instanceof TrustError)) throw error
    output.stderr(`verify-bundle: ${oneLine(error.message)}\n`)
    return EXIT.usage
  }
}

/** Messages quote bundles, and a bundle must not write to the terminal as it likes. */
function oneLine(text: string): string {
  return text.replaceAll(/[^\x20-\x7e\u00a0-\uffff]+/g, ' ')
}

export function registerVerifyBundle(
  program: Command,
  io: CommandOutput & { exit(code: number): void },
): void {
  program
    .command('verify-bundle')
    .description('verify a Sigstore bundle offline (protocol of sigstore-conformance)')
    .argument('<file-or-digest>', 'the artifact, or its digest as sha256:<hex>')
    .requiredOption('--bundle <file>', 'the bundle')
    .option('--certificate-identity <identity>', 'the only subject that may have signed, exactly')
    .option('--certificate-oidc-issuer <url>', 'the issuer of that identity, exactly')
    .option('--key <file>', 'a PEM public key, instead of an identity')
    .option('--trusted-root <file>', 'a trusted_root.json, instead of the public-good instance')
    .option('--staging', 'the staging instance instead of public-good')
    .action(async (artifact: string, options: Omit<VerifyBundleOptions, 'artifact'>) => {
      io.exit(await verifyBundleCommand({ ...options, artifact }, io))
    })
}
