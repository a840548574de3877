import type { KMSClientConfig } from '@aws-sdk/client-kms'
import { withDeadline } from '../../deadline.ts'
import type { KmsReference } from '../../policy/kms-reference.ts'
import { TrustError } from '../trust-error.ts'
import { limitAnswers } from './answer-limit.ts'
import type { FetchedKey, FetchKey } from './fetched-key.ts'
import { endpointOf, type EndpointSettings } from './kms-endpoint.ts'
import { goneMessageOf, kmsError } from './kms-failure.ts'
import { readPublicKeyAnswer } from './public-key-answer.ts'

export type KmsSettings = EndpointSettings & {
  /** For references without a region of their own. Undefined: AWS_REGION, or the region of the AWS profile. */
  readonly region: string | undefined
  readonly connectTimeoutMs: number
  /** From the request to the end of the answer. */
  readonly requestTimeoutMs: number
  /** Requests for one key, the first one included. */
  readonly attempts: number
  /** For one key, with credentials and every attempt. */
  readonly totalTimeoutMs: number
  /** Undefined: the AWS SDK's chain (environment, profile, web identity, container, instance). */
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string } | undefined
}

/** Generous, since nobody waits for it: keys are fetched in the background. */
export const KMS_DEFAULTS = {
  region: undefined,
  endpoint: undefined,
  plainHttpHosts: [],
  connectTimeoutMs: 3_000,
  requestTimeoutMs: 5_000,
  attempts: 3,
  totalTimeoutMs: 20_000,
  credentials: undefined,
} as const satisfies KmsSettings

function clientConfig(reference: KmsReference, settings: KmsSettings): KMSClientConfig {
  const region = reference.region ?? settings.region
  const endpoint = endpointOf(reference, settings)
  const { credentials, connectTimeoutMs, requestTimeoutMs } = settings
  return {
    maxAttempts: settings.attempts,
    requestHandler: {
      connectionTimeout: connectTimeoutMs,
      requestTimeout: requestTimeoutMs,
      // The two above end with the headers of the answer; this one also with a body that stops.
      socketTimeout: requestTimeoutMs,
      throwOnRequestTimeout: true,
    },
    ...(region === undefined ? {} : { region }),
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(credentials === undefined ? {} : { credentials }),
  }
}

/**
 * Asks KMS for the public key, with GetPublicKey and nothing else. The SDK is loaded with the first call, so that only who
 * has a key there pays for it. A client a call: it is made once an hour, and leaves neither sockets nor credentials behind.
 */
export function createKeyFetcher(settings: KmsSettings): FetchKey {
  return async (reference, signal) => {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(settings.totalTimeoutMs)])
    try {
      // Credential providers know no signal.
      return await withDeadline(fetchKey(reference, settings, limit), limit)
    } catch (error) {
      const message = goneMessageOf(error)
      if (message !== undefined) return { kind: 'gone', message }
      throw kmsError(error)
    }
  }
}

async function fetchKey(
  reference: KmsReference,
  settings: KmsSettings,
  signal: AbortSignal,
): Promise<FetchedKey> {
  const { GetPublicKeyCommand, KMSClient } = await import('@aws-sdk/client-kms')
  const client = new KMSClient(clientConfig(reference, settings))
  try {
    limitAnswers(client)
    const command = new GetPublicKeyCommand({ KeyId: reference.keyId })
    const key = readPublicKeyAnswer(reference.keyId, await client.send(command, { abortSignal: signal }))
    if ('problem' in key) throw new TrustError('refused', key.problem)
    return { kind: 'key', ...key }
  } finally {
    client.destroy()
  }
}
