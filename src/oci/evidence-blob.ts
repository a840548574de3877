import { isUtf8 } from 'node:buffer'
import { EVIDENCE_BLOB_BYTES_MAX } from './evidence-types.ts'
import { finish, STEP_BYTES, type Steps } from './steps.ts'

/** JSON up to this size must be whole; of larger documents only the beginning is looked at. */
export const EVIDENCE_JSON_BYTES_MAX = 1024 * 1024

/** A byte order mark and white space, and then what JSON, XML and SPDX tag-value begin with. */
const BEGINNING = /^\uFEFF?[ \t\r\n]*(?:([[{])|<|SPDXVersion:)/
// oxlint-disable-next-line eslint/no-control-regex -- they are what it looks for
const CONTROL_CHARACTER = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]/

/** POSIX.1-1988 ustar and before it V7: a block of 512 bytes, its checksum in octal at 148, as if of eight spaces. */
const TAR = { blockBytes: 512, checksumAt: 148, checksumBytes: 8, space: 0x20 } as const
const TAR_CHECKSUM = /^[ \0]*([0-7]{1,8})[ \0]*$/

/**
 * Whether bytes are the text of a signature, attestation or SBOM, and no layer that somebody could unpack: gzip, xz and
 * zstd are never UTF-8, bzip2 begins with a letter, and a tar has a header with a checksum however its first file is
 * named. The last step parses JSON of up to `EVIDENCE_JSON_BYTES_MAX`.
 */
export function* evidenceLook(bytes: Buffer): Steps<boolean> {
  if (bytes.length > EVIDENCE_BLOB_BYTES_MAX || !isUtf8(bytes) || isTar(bytes)) return false
  const beginning = BEGINNING.exec(bytes.toString('utf8', 0, STEP_BYTES))
  if (beginning === null) return false
  for (let at = 0; at < bytes.length; at += STEP_BYTES) {
    if (CONTROL_CHARACTER.test(bytes.toString('latin1', at, at + STEP_BYTES))) return false
    yield
  }
  const isJson = beginning[1] !== undefined
  return !isJson || bytes.length > EVIDENCE_JSON_BYTES_MAX || parses(bytes.toString('utf8'))
}

/** `evidenceLook` in one go. */
export function isEvidenceBlob(bytes: Buffer): boolean {
  return finish(evidenceLook(bytes))
}

/** Tools differ in whether they add bytes as signed or unsigned; either sum makes a tar. */
function isTar(bytes: Buffer): boolean {
  if (bytes.length < TAR.blockBytes) return false
  const end = TAR.checksumAt + TAR.checksumBytes
  const written = TAR_CHECKSUM.exec(bytes.toString('latin1', TAR.checksumAt, end))?.[1]
  if (written === undefined) return false
  const header = Buffer.from(bytes.subarray(0, TAR.blockBytes)).fill(TAR.space, TAR.checksumAt, end)
  const unsigned = header.reduce((sum, byte) => sum + byte, 0)
  const signed = new Int8Array(header).reduce((sum, byte) => sum + byte, 0)
  return [unsigned, signed].includes(Number.parseInt(written, 8))
}

function parses(text: string): boolean {
  try {
    JSON.parse(text.replace(/^\uFEFF/, ''))
    return true
  } catch {
    return false
  }
}
