import { hash } from 'node:crypto'
import type { KMSClient } from '@aws-sdk/client-kms'
import { withDeadline } from '../../deadline.ts'
import { parseKmsReference, type KmsReference } from '../../policy/kms-reference.ts'
import { limitAnswers } from '../kms/answer-limit.ts'
import { KMS_DEFAULTS, type KmsSettings } from '../kms/kms-client.ts'
import { endpointOf } from '../kms/kms-endpoint.ts'
import { kmsError } from '../kms/kms-failure.ts'
import { PublishError } from './error.ts'

/** One key of a KMS. */
export type KmsKey = {
  /** SubjectPublicKeyInfo. */
  readonly publicKeyDer: Buffer
  /** ECDSA over the SHA-256 of `bytes`, in DER. Throws PublishError. */
  sign(bytes: Buffer): Promise<Buffer>
}

export type ConnectKms = (reference: string) => Promise<KmsKey>

/**
 * A key of AWS KMS by cosign's grammar. Throws PublishError `key` for a reference or a key that cannot be meant,
 * `unavailable` where KMS does not answer.
 */
export async function connectAwsKms(text: string, settings: KmsSettings = KMS_DEFAULTS): Promise<KmsKey> {
  const parsed = parseKmsReference(text)
  if (!parsed.ok) throw new PublishError('key', parsed.message)
  const { reference } = parsed
  // Imported here: it costs 60 ms, and most runs sign with files.
  const { GetPublicKeyCommand, SignCommand } = await import('@aws-sdk/client-kms')
  const publicKey = await ask(reference, settings, async (client, abortSignal) => {
    const answer = await client.send(new GetPublicKeyCommand({ KeyId: reference.keyId }), { abortSignal })
    return answer.PublicKey
  })
  return {
    publicKeyDer: publicKey,
    sign: (bytes) =>
      ask(reference, settings, async (client, abortSignal) => {
        const command = new SignCommand({
          KeyId: reference.keyId,
          // The digest, because KMS takes messages of up to 4096 bytes only.
          Message: hash('sha256', bytes, 'buffer'),
          MessageType: 'DIGEST',
          SigningAlgorithm: 'ECDSA_SHA_256',
        })
        return (await client.send(command, { abortSignal })).Signature
      }),
  }
}

type Question = (client: KMSClient, signal: AbortSignal) => Promise<Uint8Array | undefined>

/** A client a question: a run asks a handful, and nothing must keep it from ending. */
async function ask(reference: KmsReference, settings: KmsSettings, question: Question): Promise<Buffer> {
  const { KMSClient } = await import('@aws-sdk/client-kms')
  const region = reference.region ?? settings.region
  const limit = AbortSignal.timeout(settings.totalTimeoutMs)
  let client: KMSClient | undefined
  try {
    const endpoint = endpointOf(reference, settings)
    client = new KMSClient({
      maxAttempts: settings.attempts,
      requestHandler: {
        connectionTimeout: settings.connectTimeoutMs,
        requestTimeout: settings.requestTimeoutMs,
        socketTimeout: settings.requestTimeoutMs,
        throwOnRequestTimeout: true,
      },
      ...(region === undefined ? {} : { region }),
      ...(endpoint === undefined ? {} : { endpoint }),
      ...(settings.credentials === undefined ? {} : { credentials: settings.credentials }),
    })
    limitAnswers(client)
    // Credential providers know no signal.
    const answer = await withDeadline(question(client, limit), limit)
    if (answer === undefined) throw new Error('KMS answered without it')
    return Buffer.from(answer)
  } catch (error) {
    throw failure(reference, error)
  } finally {
    client?.destroy()
  }
}

function failure({ text }: KmsReference, error: unknown): PublishError {
  if (error instanceof Error && error.name === 'AccessDeniedException') {
    return new PublishError('key', `${text}: access denied: allow kms:GetPublicKey and kms:Sign on it`, error)
  }
  const { code, message } = kmsError(error)
  return new PublishError(code === 'unavailable' ? 'unavailable' : 'key', `${text}: ${message}`, error)
}
