const BLOCK = 512
const SIZE_DIGITS = 11

/** A ustar archive (POSIX.1-1988) of regular files, path -> content; the same files always give the same bytes. */
export function tarArchive(files: Readonly<Record<string, string | Uint8Array>>): Buffer {
  const entries = Object.entries(files).flatMap(([path, content]) => {
    const bytes = Buffer.from(content)
    const padding = Buffer.alloc((BLOCK - (bytes.length % BLOCK)) % BLOCK)
    return [tarHeader(path, bytes.length), bytes, padding]
  })
  return Buffer.concat([...entries, Buffer.alloc(2 * BLOCK)])
}

function tarHeader(path: string, sizeBytes: number): Buffer {
  if (Buffer.byteLength(path) > 100) throw new RangeError(`path too long for ustar: ${path}`)
  const header = Buffer.alloc(BLOCK)
  const octal = (value: number, digits: number) => `${value.toString(8).padStart(digits, '0')}\0`
  header.write(path, 0)
  header.write(octal(0o644, 7), 100)
  header.write(octal(0, 7), 108) // uid
  header.write(octal(0, 7), 116) // gid
  header.write(octal(sizeBytes, SIZE_DIGITS), 124)
  header.write(octal(0, SIZE_DIGITS), 136) // mtime
  header.write('        ', 148) // the checksum counts itself as spaces
  header.write('0', 156) // regular file
  header.write('ustar\x0000', 257, 'latin1')
  const checksum = header.reduce((sum, byte) => sum + byte, 0)
  header.write(`${checksum.toString(8).padStart(6, '0')}\0 `, 148)
  return header
}
