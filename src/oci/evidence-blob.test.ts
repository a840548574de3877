import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { brotliCompressSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { isEvidenceBlob } from './evidence-blob.ts'

const MIB = 1024 * 1024
const text = JSON.stringify({ payload: 'é'.repeat(100) })

/** A tar of one file without a single NUL: V7 had none of the later fields, and readers take spaces as padding. */
function tarOf(name: string, { padding = ' ', signed = false, content = '#!/bin/sh\n' } = {}): Buffer {
  const header = Buffer.alloc(512, padding)
  header.write(name)
  const octal = (value: number, at: number, digits: number) =>
    header.write(value.toString(8).padStart(digits, '0'), at)
  octal(0o755, 100, 7)
  octal(content.length, 124, 11)
  header.write('0', 156)
  header.fill(' ', 148, 156)
  const bytes = signed ? new Int8Array(header) : header
  let sum = 0
  for (const byte of bytes) sum += byte
  octal(sum, 148, 6)
  return Buffer.concat([header, Buffer.from(content.padEnd(512, ' '))])
}

describe('no evidence', () => {
  const cases: Record<string, Buffer> = {
    nothing: Buffer.alloc(0),
    'white space': Buffer.from(' \n'),
    gzip: gzipSync(text),
    zstd: zstdCompressSync(text),
    'zstd behind a skippable frame': Buffer.concat([
      Buffer.from('P*M\x18\x04\x01\x01\x01abcd'),
      zstdCompressSync(text),
    ]),
    brotli: brotliCompressSync(text),
    xz: Buffer.of(0xfd, 0x37, 0x7a, 0x58, 0x5a, 1),
    bzip2: Buffer.from('BZh91AY&SY'),
    'an executable in a tar': Buffer.from('a/b\0'.padEnd(512, '\0')),
    'a tar without NUL': tarOf('bin/sh'),
    'a tar whose file is named like XML': tarOf('<bom/>'),
    'a tar whose file is named like JSON': tarOf('{"a":1}'),
    'a large tar whose file is named like JSON': tarOf('{', { content: 'x'.repeat(2 * MIB) }),
    'a tar whose file is named like SPDX': tarOf('SPDXVersion:'),
    'a tar with a signed checksum': tarOf('<é', { signed: true }),
    'a tar with an unsigned checksum of more than ASCII': tarOf('<é'),
    'a tar padded with line feeds': tarOf('<', { padding: '\n' }),
    'a shell script': Buffer.from('#!/bin/sh\n'),
    'Latin-1': Buffer.from('<é', 'latin1'),
    'JSON that ends early': Buffer.from('{"a":'),
    'JSON with more behind it': Buffer.from('{} x'),
    'two JSON values': Buffer.from('{}\n{}'),
    'large JSON with a control character': Buffer.from(`{${' '.repeat(2 * MIB)}\x01}`),
    'XML with a control character': Buffer.from('<a>\x1b</a>'),
    'XML with DEL': Buffer.from('<a>\x7f</a>'),
    'too large': Buffer.concat([Buffer.from('{'), Buffer.alloc(16 * MIB, ' ')]),
  }
  for (const [name, bytes] of Object.entries(cases)) {
    test(name, () => assert.equal(isEvidenceBlob(bytes), false))
  }
})

describe('evidence', () => {
  const cases: Record<string, string> = {
    JSON: text,
    'a JSON array behind white space': '\r\n\t [1]\n',
    'the empty config': '{}',
    'JSON behind a byte order mark': '\uFEFF{}',
    XML: '<?xml version="1.0"?><bom/>',
    'SPDX tag-value': 'SPDXVersion: SPDX-2.3\n',
    'JSON longer than a tar header': `{"a":"${'x'.repeat(1000)}"}`,
    'JSON with digits where a tar has its checksum': `{"a":"${'0'.repeat(1000)}"}`,
    'an SBOM of 3 MiB': `{"a":"${'é'.repeat(1.5 * MIB)}"}`,
    'an SBOM of the largest size': `<a>${' '.repeat(16 * MIB - 7)}</a>`,
  }
  for (const [name, document] of Object.entries(cases)) {
    test(name, () => assert.equal(isEvidenceBlob(Buffer.from(document)), true))
  }
})
