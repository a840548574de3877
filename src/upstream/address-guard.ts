import { BlockList, isIP, type LookupFunction } from 'node:net'
import { callbackify } from 'node:util'
import { UpstreamError } from './types.ts'

type ResolvedAddress = { readonly address: string; readonly family: number }

/** DNS, as the operating system answers it. */
export type Resolve = (hostname: string) => Promise<readonly ResolvedAddress[]>

/** True where an address may be dialled. */
export type AddressGuard = (address: string) => boolean

/** Never a registry, on any network: this host, link-local with the cloud metadata services, multicast, reserved. */
const NEVER = [
  '0.0.0.0/8',
  '169.254.0.0/16',
  '192.0.0.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
  '100.100.100.200/32', // Alibaba Cloud metadata, inside the CGNAT range
  '168.63.129.16/32', // Azure wire server, a public address by its number
  '::/128',
  'fe80::/10',
  'ff00::/8',
  'fd00:ec2::/32', // AWS metadata over IPv6
  'fd20:ce::254/128', // Google Cloud metadata over IPv6
  '100::/64',
  '2001::/32', // Teredo and 6to4 hide an IPv4 address
  '2002::/16',
]

/** Loopback, RFC 1918, CGNAT (RFC 6598), documentation and benchmark ranges, ULA, site-local, local NAT64. */
const PRIVATE = [
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '172.16.0.0/12',
  '192.0.2.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '::/96',
  '64:ff9b:1::/48',
  '2001:db8::/32',
  'fc00::/7',
  'fec0::/10',
]

function blockList(subnets: readonly string[]): BlockList {
  const list = new BlockList()
  for (const subnet of subnets) {
    const slash = subnet.indexOf('/')
    const net = subnet.slice(0, slash)
    list.addSubnet(net, Number(subnet.slice(slash + 1)), isIP(net) === 6 ? 'ipv6' : 'ipv4')
  }
  return list
}

/**
 * The IPv4 address inside a well-known NAT64 address (RFC 6052), which IPv6-only networks use for every IPv4 host:
 * the guard must look through it. WHATWG URL writes any IPv6 address in its one canonical form.
 */
function nat64Target(address: string): string | undefined {
  const canonical = new URL(`http://[${address}]`).hostname.slice(1, -1)
  const match = /^64:ff9b::(?:([0-9a-f]{1,4}):)?([0-9a-f]{1,4})?$/.exec(canonical)
  if (match === null) return undefined
  const high = Number.parseInt(match[1] ?? '0', 16)
  const low = Number.parseInt(match[2] ?? '0', 16)
  return [high >> 8, high & 255, low >> 8, low & 255].join('.')
}

export function createAddressGuard(allowPrivateAddresses: boolean): AddressGuard {
  const lists = [blockList(NEVER), ...(allowPrivateAddresses ? [] : [blockList(PRIVATE)])]
  const allows: AddressGuard = (address) => {
    const bare = address.split('%', 1)[0] ?? ''
    const family = isIP(bare)
    if (family === 0) return false
    const inner = family === 6 ? nat64Target(bare) : undefined
    if (inner !== undefined) return allows(inner)
    // BlockList matches IPv4-mapped IPv6 addresses against the IPv4 ranges by itself.
    return !lists.some((list) => list.check(bare, family === 6 ? 'ipv6' : 'ipv4'))
  }
  return allows
}

/** False where a URL's host is a guarded address. Sockets to literals never ask DNS, so the lookup cannot see them. */
export function isDiallable(url: URL, allows: AddressGuard): boolean {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  return isIP(host) === 0 || allows(host)
}

export function assertDiallable(url: URL, allows: AddressGuard): void {
  if (!isDiallable(url, allows)) {
    throw new UpstreamError('invalid', `${url.hostname} is not an address that may be dialled`)
  }
}

/** The lookup of every socket: a name is checked by the address that is then dialled, so rebinding gains nothing. */
export function guardedLookup(allows: AddressGuard, resolve: Resolve): LookupFunction {
  const usable = async (hostname: string, family: number): Promise<ResolvedAddress[]> => {
    const all = await resolve(hostname)
    const fit = all.filter((one) => allows(one.address) && (family === 0 || one.family === family))
    if (fit.length > 0) return fit
    throw new UpstreamError('invalid', `${hostname} has no address that may be dialled`)
  }
  const lookup = callbackify(usable)
  return (hostname, options, callback) => {
    const family = options.family === 'IPv4' ? 4 : options.family === 'IPv6' ? 6 : (options.family ?? 0)
    lookup(hostname, family, (error, addresses) => {
      const [first] = error === null ? addresses : []
      if (first === undefined) callback(error, '')
      else if (options.all === true) callback(null, addresses)
      else callback(null, first.address, first.family)
    })
  }
}
