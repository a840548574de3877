import { hash } from 'node:crypto'

/**
 * SQLite checks the shape of its pages, not what stands in them. This tells a row whose content has changed since it was
 * written: by a broken disk, not by an attacker, who could write the checksum too.
 */
export function rowChecksum(fields: readonly (string | number | null)[]): string {
  return hash('sha256', JSON.stringify(fields), 'hex')
}
