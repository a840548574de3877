import { isIP } from 'node:net'
import { parseRegistry } from '../oci/reference.ts'

/** Where several owners share the last two labels of a name, a neighbour is a stranger. */
const SHARED_PARENTS = new Set([
  'aliyuncs.com',
  'amazonaws.com',
  'app.cloud',
  'appspot.com',
  'azure.com',
  'azurecr.cn',
  'azurecr.io',
  'azurecr.us',
  'azurefd.net',
  'azurewebsites.net',
  'bitbucket.io',
  'cloudapp.net',
  'cloudfront.net',
  'cloudsmith.io',
  'digitaloceanspaces.com',
  'edgekey.net',
  'firebaseapp.com',
  'fly.dev',
  'github.io',
  'gitlab.io',
  'googleapis.com',
  'herokuapp.com',
  'jfrog.io',
  'myhuaweicloud.com',
  'mycloudrepo.io',
  'myqcloud.com',
  'netlify.app',
  'ngrok.app',
  'ngrok.io',
  'ocir.io',
  'ondigitalocean.app',
  'onrender.com',
  'pages.dev',
  'pkg.dev',
  'r2.dev',
  'run.app',
  'scw.cloud',
  'vercel.app',
  'web.app',
  'windows.net',
  'workers.dev',
])

/** Second labels under which country registries sell names: `co.uk`, `com.au`, `or.jp`. */
const COUNTRY_SECOND_LABEL = /^(?:ac|co|com|edu|go|gob|gouv|gov|gv|ltd|me|mil|ne|net|nom|or|org|plc|sch|web)$/

/** The name that one owner most likely holds: the last two labels, or undefined where that cannot be told. */
function ownedParent(hostname: string): string | undefined {
  if (isIP(hostname.replace(/^\[|\]$/g, '')) !== 0) return undefined
  const labels = hostname.split('.')
  const top = labels.at(-1) ?? ''
  const second = labels.at(-2) ?? ''
  if (top === '' || second === '') return undefined
  // Any one- to three-letter second label of a country is treated as its registry's; the exact host still works.
  if (top.length === 2 && (second.length <= 3 || COUNTRY_SECOND_LABEL.test(second))) return undefined
  const parent = `${second}.${top}`
  return SHARED_PARENTS.has(parent) ? undefined : parent
}

/** Where this upstream may send us over TLS, beside the hosts that the operator named. */
function isNear(realm: URL, upstream: URL): boolean {
  if (realm.host === upstream.host) return true
  if (parseRegistry(upstream.host) === 'docker.io' && realm.host === 'auth.docker.io') return true
  const parent = ownedParent(upstream.hostname)
  return parent !== undefined && realm.port === '' && ownedParent(realm.hostname) === parent
}

/**
 * The token endpoint that a challenge names, if this upstream may name it; else undefined. Without this check a hostile
 * answer collects credentials and steers requests into the network (CVE-2026-33540, CVE-2026-50151).
 */
export function allowedRealm(
  text: string | undefined,
  upstream: URL,
  realmHosts: readonly string[],
): URL | undefined {
  const realm = text === undefined ? null : URL.parse(text)
  if (realm === null || realm.username !== '' || realm.password !== '') return undefined
  const named = realmHosts.includes(realm.host)
  // Plain text only where the operator wrote it, and then only to places the operator wrote.
  const plain = realm.protocol === 'http:' && upstream.protocol === 'http:'
  if (plain) return named || realm.host === upstream.host ? realm : undefined
  return realm.protocol === 'https:' && (named || isNear(realm, upstream)) ? realm : undefined
}
