import { hash, timingSafeEqual } from 'node:crypto'

/** Hex SHA-256, as configurations name tokens: the configuration itself then opens nothing. */
export function tokenHash(token: string): string {
  return hash('sha256', token, 'hex')
}

/**
 * The token in an `Authorization` header: of scheme Bearer (RFC 6750), or the password of scheme Basic (RFC 7617), which
 * is what `docker login` sends; its user name says nothing. Undefined where there is none, or an empty one.
 */
export function tokenOf(authorization: string | undefined): string | undefined {
  const [, scheme = '', value = ''] =
    /^(Bearer|Basic) +([A-Za-z0-9._~+/-]+=*)$/i.exec(authorization ?? '') ?? []
  const token = scheme.toLowerCase() === 'basic' ? passwordIn(value) : value
  return token === '' ? undefined : token
}

/** Takes as long whichever token it is, and however much of it is right. */
export function createTokenMatcher(hashes: readonly string[]): (token: string | undefined) => boolean {
  const known = hashes.map((one) => Buffer.from(one, 'hex'))
  return (token) => {
    if (token === undefined) return false
    const given = hash('sha256', token, 'buffer')
    return known.reduce((found, one) => timingSafeEqual(one, given) || found, false)
  }
}

function passwordIn(value: string): string {
  const pair = Buffer.from(value, 'base64').toString('utf8')
  const colon = pair.indexOf(':')
  return colon === -1 ? '' : pair.slice(colon + 1)
}
