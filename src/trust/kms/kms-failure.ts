import { DeadlineError } from '../../deadline.ts'
import { TrustError } from '../trust-error.ts'

/** KMS API, "Common Errors", and what its gateway answers when an account asks too often. */
const THROTTLING = new Set([
  'ThrottlingException',
  'Throttling',
  'TooManyRequestsException',
  'LimitExceededException',
])
/** GetPublicKey, "Errors": KMS knows what was asked for, and there is no key to be had from it. */
const GONE = new Set(['NotFoundException', 'DisabledException', 'KMSInvalidStateException'])
const ADVICE: ReadonlyMap<string, string> = new Map([
  ['AccessDeniedException', 'allow kms:GetPublicKey on the key to the credentials of this proxy'],
  ['CredentialsProviderError', 'no AWS credentials'],
])
const MESSAGE_LENGTH_MAX = 300

/** What the SDK threw, or what a credential provider under it did. */
type Thrown = {
  readonly name: string
  /** The name of a network failure, such as ECONNRESET; the errors of services have none. */
  readonly code: string | undefined
  readonly message: string
  /** Of the answer; undefined where there was none. */
  readonly status: number | undefined
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined
}

function readThrown(error: unknown): Thrown {
  const text = error instanceof Error ? error.message : String(error)
  // The first line only: of a signature that is refused, those that follow tell headers of the request.
  const [line = ''] = text.split(/[\r\n]/, 1)
  const code = field(error, 'code')
  // An answer that is not JSON has no metadata, only the response itself.
  const status =
    field(field(error, '$metadata'), 'httpStatusCode') ?? field(field(error, '$response'), 'statusCode')
  return {
    name: error instanceof Error ? error.name : 'Error',
    code: typeof code === 'string' ? code : undefined,
    message: line.replaceAll(/\p{Cc}/gu, ' ').slice(0, MESSAGE_LENGTH_MAX),
    status: typeof status === 'number' ? status : undefined,
  }
}

function isUnavailable({ name, code, status }: Thrown): boolean {
  // The connection may also end in the middle of an answer whose status was good.
  if (status === undefined || code !== undefined || name === 'TimeoutError') return true
  return status >= 500 || status === 429 || THROTTLING.has(name)
}

/** Why there is no key, where that is KMS's own answer; undefined for every other error. */
export function goneMessageOf(error: unknown): string | undefined {
  const { name, message, status } = readThrown(error)
  return status !== undefined && status < 500 && GONE.has(name) ? `${name}: ${message}` : undefined
}

/** `unavailable` where it may be different in a minute, `refused` where somebody has to do something. */
export function kmsError(error: unknown): TrustError {
  if (error instanceof TrustError) return error
  if (error instanceof DeadlineError) return new TrustError('unavailable', 'no answer in time', error)
  const thrown = readThrown(error)
  const { name, code, message, status } = thrown
  const known = /^\w{2,64}$/.test(name) && name !== 'Error' && name !== 'Unknown' ? name : undefined
  const what = [
    ADVICE.get(name),
    known ?? code ?? (status === undefined ? undefined : `status ${status}`),
    message,
  ]
  return new TrustError(
    isUnavailable(thrown) ? 'unavailable' : 'refused',
    what.filter((part) => part !== undefined && part !== '').join(': '),
    error,
  )
}
