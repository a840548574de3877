/**
 * Bounds on everything that a registry controls. Where sigstore-go has a limit of its own it is the same one, so that
 * what other clients accept is accepted here.
 */

/** A message signature bundle or a simple signing payload; real ones stay below 20 KiB. */
export const MESSAGE_BYTES_MAX = 8 * 1024 * 1024

/** A DSSE envelope, bare or in a bundle: SBOM attestations of large images reach a few MiB. */
export const ATTESTATION_BYTES_MAX = 16 * 1024 * 1024

export const LOG_ENTRIES_MAX = 32
export const TIMESTAMPS_MAX = 32
export const CERTIFICATES_MAX = 10
export const SUBJECTS_MAX = 1024

/** cosign's chain annotation: as many certificates of usual size. */
export const CHAIN_PEM_LENGTH_MAX = 32 * 1024

/** Fulcio's are about 1 KiB. */
export const CERTIFICATE_BYTES_MAX = 8 * 1024

/** RFC 3161 responses with the whole chain embedded are about 6 KiB. */
export const TIMESTAMP_BYTES_MAX = 16 * 1024

/** A tree of 2^64 leaves has proofs of 64 hashes. */
export const PROOF_HASHES_MAX = 64

/** A note with many witness signatures is a few KiB. */
export const CHECKPOINT_BYTES_MAX = 16 * 1024

/** Predicates above this are verified but not kept with the result: no rule reads them and caches would hold them. */
export const PREDICATE_BYTES_KEPT_MAX = 256 * 1024
/** Real ones nest some ten deep; a deeper one overflows the stack of whoever copies it or writes it down. */
export const PREDICATE_DEPTH_KEPT_MAX = 64

/**
 * Values in JSON that is not authenticated yet. `{}` is two bytes and fifty in memory, and a parser that runs out of
 * memory takes the process with it.
 */
export const JSON_VALUES_MAX = 100_000

/** Values in a signed statement: SBOMs of large images have some hundred thousand. */
export const STATEMENT_VALUES_MAX = 2_000_000

/** Rekor's JSON of one entry without the attestation it may store: bodies are 1 to 10 KiB, checkpoints and proofs less. */
export const LOG_ENTRY_JSON_BYTES_MAX = 128 * 1024

/** Entries that were looked up for one candidate: one for each log that policies name. */
export const LOOKED_UP_ENTRIES_MAX = 4

/** Rekor itself refuses proposals much smaller than this; larger envelopes are found by their hash. */
export const PROPOSED_ENVELOPE_BYTES_MAX = 1024 * 1024
