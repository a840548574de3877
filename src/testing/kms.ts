import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { json } from 'node:stream/consumers'
import { createKmsKey, type KmsKeySpec, type TestKmsKey } from './kms-key.ts'

/** What happens to every request in place of the right answer. */
export type KmsFault =
  /** Nobody listens. */
  | 'refused'
  /** Never answers. */
  | 'hang'
  | '500'
  | 'throttled'
  /** The right answer, `slowMs` later. */
  | 'slow'
  /** 200 with a page of HTML. */
  | 'garbage'
  | 'access-denied'
  | 'not-found'
  | { readonly status: number; readonly body: string }

export type KmsOptions = {
  /** Default any free one. */
  readonly port?: number
  /** Default `eu-west-1`. */
  readonly region?: string
  /** Default 300. */
  readonly slowMs?: number
}

type SeenRequest = { readonly operation: string; readonly keyId: string; readonly authorization: string }

/**
 * AWS KMS on the loopback interface, as far as signing goes: GetPublicKey, DescribeKey and Sign of its JSON 1.1 protocol,
 * enough for the AWS SDK and for cosign (`AWS_ENDPOINT_URL_KMS=<url>`, `--key awskms:///alias/NAME`).
 */
export type TestKms = AsyncDisposable & {
  readonly url: string
  /** `127.0.0.1:port`, as in `awskms://127.0.0.1:port/alias/NAME`. */
  readonly endpoint: string
  readonly port: number
  /** What any AWS client needs to ask here and nowhere else. */
  readonly env: Readonly<Record<string, string>>
  /** Everything that was asked, oldest first; a test may empty it. */
  readonly requests: SeenRequest[]
  createKey(spec?: KmsKeySpec, keyId?: string): TestKmsKey
  /** Makes the alias or moves it. `alias/NAME`; undefined deletes it. */
  setAlias(name: string, keyId: string | undefined): void
  setKeyState(keyId: string, state: KeyState): void
  /** Undefined is an honest KMS again. */
  fault(fault: KmsFault | undefined): Promise<void>
  close(): Promise<void>
}

type KeyState = 'Enabled' | 'Disabled' | 'PendingDeletion'
type Reply = { readonly status: number; readonly body: string }
type Input = { KeyId?: string; Message?: string; MessageType?: 'RAW' | 'DIGEST'; SigningAlgorithm?: string }

const ACCOUNT = '111122223333'
const SLOW_MS = 300

function failure(status: number, type: string, message: string): Reply {
  return { status, body: JSON.stringify({ __type: type, message }) }
}

const FAULTS: Readonly<Record<Exclude<KmsFault, object | 'refused' | 'hang' | 'slow'>, Reply>> = {
  '500': failure(500, 'KMSInternalException', 'try again'),
  throttled: failure(400, 'ThrottlingException', 'Rate exceeded'),
  garbage: { status: 200, body: '<html>Welcome to the hotel network</html>' },
  'access-denied': failure(
    400,
    'AccessDeniedException',
    'User is not authorized to perform: kms:GetPublicKey',
  ),
  'not-found': failure(400, 'NotFoundException', 'Alias is not found.'),
}

function answerAbout(
  key: TestKmsKey,
  state: KeyState,
  { operation, input }: { operation: string; input: Input },
): Reply {
  const { arn: KeyId, spec, algorithms: SigningAlgorithms } = key
  const ok = (output: object): Reply => ({ status: 200, body: JSON.stringify({ KeyId, ...output }) })
  const about = { KeySpec: spec, CustomerMasterKeySpec: spec, KeyUsage: 'SIGN_VERIFY', SigningAlgorithms }
  if (operation === 'DescribeKey') return ok({ KeyMetadata: { KeyId, KeyState: state, ...about } })
  if (state === 'Disabled') return failure(400, 'DisabledException', `${KeyId} is disabled.`)
  if (state === 'PendingDeletion') {
    return failure(400, 'KMSInvalidStateException', `${KeyId} is pending deletion.`)
  }
  if (operation === 'GetPublicKey') {
    const PublicKey = key.publicKey.export({ format: 'der', type: 'spki' }).toString('base64')
    return ok({ PublicKey, ...about })
  }
  return operation === 'Sign'
    ? signAnswer(key, input, ok)
    : failure(400, 'UnsupportedOperationException', operation)
}

function signAnswer(key: TestKmsKey, input: Input, ok: (output: object) => Reply): Reply {
  const { Message = '', MessageType: messageType = 'RAW', SigningAlgorithm: algorithm = '' } = input
  if (!key.algorithms.includes(algorithm)) return failure(400, 'InvalidKeyUsageException', algorithm)
  const signature = key.sign(Buffer.from(Message, 'base64'), { algorithm, messageType })
  return ok({ Signature: signature.toString('base64'), SigningAlgorithm: algorithm })
}

/** The keys and aliases of one account in one region. */
function createAccount(region: string) {
  const keys = new Map<string, TestKmsKey>()
  const states = new Map<string, KeyState>()
  const aliases = new Map<string, string>()
  const find = (name: string): TestKmsKey | undefined => {
    const local = name.replace(`arn:aws:kms:${region}:${ACCOUNT}:`, '').replace(/^key\//, '')
    return keys.get(aliases.get(local) ?? local)
  }
  const answer = (operation: string, input: Input): Reply => {
    const key = find(input.KeyId ?? '')
    if (key === undefined) return failure(400, 'NotFoundException', `${input.KeyId} is not found.`)
    return answerAbout(key, states.get(key.keyId) ?? 'Enabled', { operation, input })
  }
  return { keys, states, aliases, answer }
}

export async function createKms(options: KmsOptions = {}): Promise<TestKms> {
  const { region = 'eu-west-1', slowMs = SLOW_MS } = options
  const account = createAccount(region)
  const requests: SeenRequest[] = []
  const state: { fault: KmsFault | undefined } = { fault: undefined }

  const handle = async (incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> => {
    const input = (await json(incoming)) as Input
    const operation = String(incoming.headers['x-amz-target']).replace('TrentService.', '')
    const { authorization = '' } = incoming.headers
    requests.push({ operation, keyId: input.KeyId ?? '', authorization })
    const { fault } = state
    if (fault === 'hang') return
    if (fault === 'slow') await new Promise((resolve) => setTimeout(resolve, slowMs).unref())
    const honest = fault === undefined || fault === 'slow' || fault === 'refused'
    const { status, body } = honest
      ? account.answer(operation, input)
      : typeof fault === 'object'
        ? fault
        : FAULTS[fault]
    outgoing.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' }).end(body)
  }
  const server = createServer((incoming, outgoing) => {
    handle(incoming, outgoing).catch((error: unknown) => {
      const { status, body } = failure(400, 'ValidationException', String(error))
      if (outgoing.headersSent || !incoming.complete) outgoing.destroy()
      else outgoing.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' }).end(body)
    })
  })
  const listen = (port: number) =>
    new Promise<number>((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, '127.0.0.1', () => {
        server.off('error', reject)
        const address = server.address()
        resolve(typeof address === 'object' && address !== null ? address.port : port)
      })
    })
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  const port = await listen(options.port ?? 0)
  const endpoint = `127.0.0.1:${port}`
  const url = `http://${endpoint}`
  return {
    url,
    endpoint,
    port,
    env: {
      AWS_ENDPOINT_URL_KMS: url,
      AWS_REGION: region,
      AWS_ACCESS_KEY_ID: 'test',
      AWS_SECRET_ACCESS_KEY: 'test',
      AWS_EC2_METADATA_DISABLED: 'true',
    },
    requests,
    createKey: (spec = 'ECC_NIST_P256', keyId) => {
      const key = createKmsKey(spec, { region, account: ACCOUNT, keyId })
      account.keys.set(key.keyId, key)
      return key
    },
    setAlias: (name, keyId) => {
      if (keyId === undefined) account.aliases.delete(name)
      else account.aliases.set(name, keyId)
    },
    setKeyState: (keyId, keyState) => void account.states.set(keyId, keyState),
    fault: async (fault) => {
      state.fault = fault
      if (fault === 'refused' && server.listening) await close()
      if (fault !== 'refused' && !server.listening) await listen(port)
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}
