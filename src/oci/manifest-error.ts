export type ManifestErrorCode =
  | 'too-large' // over MANIFEST_BYTES_MAX
  | 'json' // not one strict JSON value; `cause` is the StrictJsonError
  | 'schema' // schema 1, another version, or neither image nor index
  | 'ambiguous' // two readers would see two different manifests
  | 'media-type' // body, header and shape do not agree, or name a type that is not served
  | 'field' // a field is missing or not what the specification says
  | 'limit' // more entries, layers or URLs than the limits allow

/** Why bytes are no manifest that can be trusted to mean one thing. `message` goes on from "a manifest that …". */
export class ManifestError extends Error {
  override readonly name = 'ManifestError'
  readonly code: ManifestErrorCode

  constructor(code: ManifestErrorCode, message: string, cause?: unknown) {
    super(message, { cause })
    this.code = code
  }
}
