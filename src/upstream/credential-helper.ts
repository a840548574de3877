import type { ChildProcessByStdio } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'
import { z } from 'zod'
import { readAtMost } from './body.ts'
import type { Credential } from './credentials.ts'
import { UpstreamError } from './types.ts'

export type HelperProcess = ChildProcessByStdio<Writable, Readable, null>

/** `child_process.spawn` in the one way that it is used here. */
export type Spawn = (
  command: string,
  args: readonly string[],
  options: { stdio: ['pipe', 'pipe', 'ignore']; signal: AbortSignal; killSignal: 'SIGKILL' },
) => HelperProcess

const HELPER_TIMEOUT_MS = 10_000
const HELPER_OUTPUT_BYTES_MAX = 64 * 1024

/** The name becomes part of a command, so nothing that could be a path or an option may be in it. */
const HELPER_NAME = /^[a-z0-9][a-z0-9-]*$/i

/** docker-credential-helpers, credentials/error.go: said on stdout, with exit code 1. */
const NOT_FOUND = 'credentials not found in native keychain'

const HelperAnswer = z.object({ Username: z.string(), Secret: z.string() })

/** A helper's stdout may hold a secret, so no error ever quotes it. */
function helperError(name: string, what: string, cause?: unknown): UpstreamError {
  return new UpstreamError('unavailable', `credential helper ${name}: ${what}`, { cause })
}

function exitOf(child: HelperProcess): Promise<number | null> {
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve(code))
  })
}

function parseAnswer(name: string, output: Buffer): Credential {
  let json: unknown
  try {
    json = JSON.parse(output.toString('utf8'))
  } catch {
    throw helperError(name, 'its answer is not JSON')
  }
  const answer = HelperAnswer.safeParse(json)
  if (!answer.success) throw helperError(name, 'its answer is no credential')
  const { Username: username, Secret: secret } = answer.data
  // docker-credential-helpers: this user name marks an identity token.
  return username === '<token>'
    ? { kind: 'identity-token', token: secret }
    : { kind: 'basic', username, password: secret }
}

/** Runs `docker-credential-<name> get`; undefined where it has nothing for the server. Rejects with UpstreamError. */
export async function runCredentialHelper(
  name: string,
  server: string,
  spawn: Spawn,
): Promise<Credential | undefined> {
  if (!HELPER_NAME.test(name))
    throw new UpstreamError('unavailable', 'the credential helper has no valid name')
  const signal = AbortSignal.timeout(HELPER_TIMEOUT_MS)
  try {
    const child = spawn(`docker-credential-${name}`, ['get'], {
      stdio: ['pipe', 'pipe', 'ignore'],
      signal,
      killSignal: 'SIGKILL',
    })
    const exited = exitOf(child)
    // A helper that ends without reading its input breaks the pipe; its exit code tells the rest.
    child.stdin.on('error', () => undefined)
    child.stdin.end(`${server}\n`)
    const [output, code] = await Promise.all([readAtMost(child.stdout, HELPER_OUTPUT_BYTES_MAX), exited])
    if (!output.whole) throw helperError(name, 'it said too much')
    if (code === 0) return parseAnswer(name, output.bytes)
    if (output.bytes.includes(NOT_FOUND)) return undefined
    throw helperError(name, `it ended with code ${String(code)}`)
  } catch (error) {
    if (error instanceof UpstreamError) throw error
    throw helperError(name, signal.aborted ? 'it took too long' : 'it could not be run', error)
  }
}
