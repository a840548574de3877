/** The few DER forms that certificates and timestamps need (ITU-T X.690); for test material only. */

const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utf8String: 0x0c,
  sequence: 0x30,
  set: 0x31,
} as const

const CONTEXT = 0x80
const CONSTRUCTED = 0x20

/** One element; lengths above 127 take the long form. */
export function element(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(contents)
  if (content.length < 0x80) return Buffer.concat([Buffer.of(tag, content.length), content])
  const hex = content.length.toString(16)
  const length = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex')
  return Buffer.concat([Buffer.of(tag, 0x80 | length.length), length, content])
}

export function sequence(...items: readonly Uint8Array[]): Buffer {
  return element(TAG.sequence, ...items)
}

/** Items sorted by their encoding, as DER wants it. */
export function setOf(...items: readonly Uint8Array[]): Buffer {
  return element(TAG.set, ...items.toSorted((a, b) => Buffer.compare(a, b)))
}

/** `[n]` around whole elements. */
export function explicit(tagNumber: number, ...items: readonly Uint8Array[]): Buffer {
  return element(CONTEXT | CONSTRUCTED | tagNumber, ...items)
}

/** `[n]` in place of a primitive element's own tag. */
export function implicit(tagNumber: number, content: Uint8Array): Buffer {
  return element(CONTEXT | tagNumber, content)
}

/** A non-negative integer, as a number or as big-endian bytes. */
export function integer(value: number | Uint8Array): Buffer {
  const hex = typeof value === 'number' ? value.toString(16) : Buffer.from(value).toString('hex')
  const bytes = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex')
  const first = bytes.findIndex((byte) => byte !== 0)
  const shortest = first === -1 ? Buffer.of(0) : bytes.subarray(first)
  return element(TAG.integer, (shortest[0] ?? 0) >= 0x80 ? Buffer.of(0) : Buffer.alloc(0), shortest)
}

export function boolean(value: boolean): Buffer {
  return element(TAG.boolean, Buffer.of(value ? 0xff : 0))
}

export function nothing(): Buffer {
  return element(TAG.null)
}

export function octetString(content: Uint8Array): Buffer {
  return element(TAG.octetString, content)
}

export function bitString(content: Uint8Array, unusedBits = 0): Buffer {
  return element(TAG.bitString, Buffer.of(unusedBits), content)
}

export function utf8String(text: string): Buffer {
  return element(TAG.utf8String, Buffer.from(text))
}

export function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number)
  return element(TAG.oid, Buffer.from([first * 40 + second, ...rest].flatMap(base128)))
}

function base128(value: number): number[] {
  const digits = [value % 128]
  for (let left = Math.floor(value / 128); left > 0; left = Math.floor(left / 128)) {
    digits.unshift((left % 128) + 128)
  }
  return digits
}

/** RFC 5280 4.1.2.5: UTCTime up to 2049, so everything that is minted here; whole seconds. */
export function utcTime(time: Date): Buffer {
  return element(0x17, Buffer.from(`${compactTime(time).slice(2)}Z`))
}

export function generalizedTime(time: Date): Buffer {
  return element(0x18, Buffer.from(`${compactTime(time)}Z`))
}

function compactTime(time: Date): string {
  return time
    .toISOString()
    .slice(0, 19)
    .replaceAll(/[^0-9]/g, '')
}
