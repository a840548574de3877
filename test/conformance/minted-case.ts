import assert from 'node:assert/strict'
import { bundleToJSON, type Bundle, type SerializedBundle } from '@sigstore/bundle'

export type Json = SerializedBundle
export type Entry = Json['verificationMaterial']['tlogEntries'][number]
type Options = { readonly key?: string; readonly trustedRoot?: object; readonly artifact?: Buffer }
/** A name as in the suite, and what makes the bundle. Without a trusted root: the minting instance's. */
export type Case = readonly [name: string, mint: () => Promise<{ readonly bundle: object } & Options>]

/** A bundle that somebody changed on its way. */
export function edited(bundle: Bundle, edit: (json: Json, entry: Entry) => void): { bundle: object } {
  const json = structuredClone(bundleToJSON(bundle))
  const [entry] = json.verificationMaterial.tlogEntries
  assert.ok(entry !== undefined)
  edit(json, entry)
  return { bundle: json }
}

export function asIs(bundle: Bundle): { bundle: object } {
  return { bundle: bundleToJSON(bundle) }
}

/** The same text with one bit of its last whole byte turned. */
export function damaged(base64: string): string {
  const bytes = Buffer.from(base64, 'base64')
  bytes.writeUInt8(bytes.readUInt8(bytes.length - 1) ^ 1, bytes.length - 1)
  return bytes.toString('base64')
}
