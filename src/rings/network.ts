import { BlockList, isIP } from 'node:net'

export type Network = {
  readonly address: string
  readonly prefix: number
  readonly family: 'ipv4' | 'ipv6'
}

const MAPPED = /^::ffff:(\d{1,3}(?:\.\d{1,3}){3})$/i

/**
 * `10.0.0.0/8`, `fd00::/8`, or one address. Undefined where it is none. An IPv4 network inside IPv6 (`::ffff:10.0.0.0/104`)
 * is none either: there is one way to write it.
 */
export function parseNetwork(text: string): Network | undefined {
  const [, address = '', digits] = /^([0-9A-Fa-f.:]+)(?:\/(0|[1-9]\d{0,2}))?$/.exec(text) ?? []
  const version = isIP(address)
  if (version === 0 || isMapped(address)) return undefined
  const bits = version === 4 ? 32 : 128
  const prefix = digits === undefined ? bits : Number(digits)
  return prefix > bits ? undefined : { address, prefix, family: version === 4 ? 'ipv4' : 'ipv6' }
}

/** Whether an address of a socket is in one of the networks. Throws TypeError where one of them is none. */
export function createAddressMatcher(networks: readonly string[]): (address: string | undefined) => boolean {
  // One for each family: a list of both finds an IPv4 address in `::/0`, too.
  const lists = { ipv4: new BlockList(), ipv6: new BlockList() }
  for (const { address, prefix, family } of networks.map(networkOf)) {
    lists[family].addSubnet(address, prefix, family)
  }
  return (address) => {
    const plain = plainAddress(address ?? '')
    const version = isIP(plain)
    const family = version === 4 ? 'ipv4' : 'ipv6'
    return version !== 0 && lists[family].check(plain, family)
  }
}

/** Whether every address of `inner` is one of `outer`. */
export function contains(outer: string, inner: string): boolean {
  const [wide, narrow] = [networkOf(outer), networkOf(inner)]
  if (wide.family !== narrow.family || wide.prefix > narrow.prefix) return false
  return createAddressMatcher([outer])(narrow.address)
}

function networkOf(text: string): Network {
  const network = parseNetwork(text)
  if (network === undefined) throw new TypeError(`${text} is not a network`)
  return network
}

/** A socket that listens on both families has IPv4 clients at IPv6 addresses (RFC 4291 section 2.5.5.2); zones are local. */
function plainAddress(address: string): string {
  const [bare = ''] = address.split('%', 1)
  return MAPPED.exec(bare)?.[1] ?? bare
}

/** However it is spelled: WHATWG URL has one form for each IPv6 address. */
function isMapped(address: string): boolean {
  return isIP(address) === 6 && new URL(`http://[${address}]`).hostname.startsWith('[::ffff:')
}
