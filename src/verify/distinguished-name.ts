import type { ASN1Obj } from '@sigstore/core'

/** Short names: RFC 4514 section 3. Any other type is written as its OID. */
const ATTRIBUTE_TYPES: Readonly<Record<string, string>> = {
  '2.5.4.3': 'CN',
  '2.5.4.6': 'C',
  '2.5.4.7': 'L',
  '2.5.4.8': 'ST',
  '2.5.4.9': 'STREET',
  '2.5.4.10': 'O',
  '2.5.4.11': 'OU',
  '0.9.2342.19200300.100.1.1': 'UID',
  '0.9.2342.19200300.100.1.25': 'DC',
}

/** UTF8String, PrintableString and IA5String: the latter two are ASCII, and so UTF-8. Nobody has issued others for long. */
const TEXT_TAGS: ReadonlySet<number> = new Set([0x0c, 0x13, 0x16])

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** RFC 4514 section 2.4; control characters are escaped too, since names are shown. */
function escaped(text: string): string {
  return text
    .replaceAll(/["+,;<>\\]|^[ #]| $/g, String.raw`\$&`)
    .replaceAll(/\p{Cc}/gu, (character) =>
      [...Buffer.from(character)].map((byte) => `\\${byte.toString(16).padStart(2, '0')}`).join(''),
    )
}

function textOf({ tag, value }: ASN1Obj): string | undefined {
  if (!tag.isUniversal() || !TEXT_TAGS.has(tag.number)) return undefined
  try {
    return strictUtf8.decode(value)
  } catch {
    return undefined
  }
}

function attributeText(attribute: ASN1Obj): string {
  const [type, value, ...others] = attribute.subs
  if (type === undefined || value === undefined || others.length > 0) throw new SyntaxError('not a name')
  const oid = type.toOID()
  const shortName = ATTRIBUTE_TYPES[oid]
  const text = shortName === undefined ? undefined : textOf(value)
  // Section 2.4: what has no text is written as its encoding.
  return `${shortName ?? oid}=${text === undefined ? `#${value.toDER().toString('hex')}` : escaped(text)}`
}

/**
 * An X.501 Name as RFC 4514 writes it, the last part first: `CN=Acme Code Signing CA,O=Acme`. Of one text there is one
 * meaning, whatever the parts hold. Throws SyntaxError.
 */
export function distinguishedName(name: ASN1Obj): string {
  return name.subs
    .map((relative) => relative.subs.map(attributeText).join('+'))
    .toReversed()
    .join(',')
}
