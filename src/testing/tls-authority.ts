import { generateKeyPairSync } from 'node:crypto'
import {
  authorityExtensions,
  distinguishedName,
  EXTENDED_KEY_USAGE,
  issueCertificate,
  leafExtensions,
  subjectAlternativeNames,
  toPem,
  type SubjectName,
} from './certificate.ts'

/** Texts of PEM files. */
export type TlsIdentity = { readonly cert: string; readonly key: string }

export type TlsAuthority = {
  /** Its own certificate, PEM. */
  readonly ca: string
  /** Of a server or client; valid for an hour around now unless told otherwise. */
  issue(request: {
    readonly usage: 'serverAuth' | 'clientAuth'
    readonly names: readonly SubjectName[]
    readonly validFor?: Validity
  }): TlsIdentity
}

type Validity = { readonly start: Date; readonly end: Date }

const HOUR_MS = 3_600_000

/** A private certificate authority for TLS, as an organisation has one. */
export function createTlsAuthority(name: string, now = new Date()): TlsAuthority {
  const newKeys = () => generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const usual = { start: new Date(now.getTime() - HOUR_MS), end: new Date(now.getTime() + HOUR_MS) }
  const keyPair = newKeys()
  const { publicKey } = keyPair
  const issuer = { name: distinguishedName('Example', name), keyPair }
  const root = issueCertificate({
    issuer,
    subject: issuer.name,
    publicKey,
    validFor: { start: new Date(0), end: usual.end },
    extensions: authorityExtensions(publicKey, publicKey),
  })
  return {
    ca: toPem(root),
    issue({ usage, names, validFor = usual }) {
      const own = newKeys()
      const cert = issueCertificate({
        issuer,
        subject: distinguishedName('Example', 'somebody'),
        publicKey: own.publicKey,
        validFor,
        extensions: [
          ...leafExtensions(publicKey, own.publicKey, [EXTENDED_KEY_USAGE[usage]]),
          subjectAlternativeNames(names),
        ],
      })
      const key = own.privateKey.export({ format: 'pem', type: 'pkcs8' }).toString()
      return { cert: toPem(cert), key }
    },
  }
}
