import { join } from 'node:path'
import type { Digest } from '../oci/digest.ts'
import type { Problem } from '../policy/problem.ts'

/** The files of one policy set as they were together at one moment, by path relative to their root, sorted. */
export type PolicyFiles = {
  readonly policies: readonly { readonly path: string; readonly text: string }[]
  /** PEM files. */
  readonly keys: ReadonlyMap<string, string>
}

export const NO_FILES: PolicyFiles = { policies: [], keys: new Map() }

/** Where the policies in force come from. */
export type PolicyOrigin =
  /** None are configured: the rule for images without a policy is all there is. */
  | { readonly kind: 'none' }
  | {
      readonly kind: 'directory'
      readonly directory: string
      /** The commit of the Git checkout that it lies in; undefined where it lies in none that can be read. */
      readonly revision: string | undefined
    }
  | ({ readonly kind: 'bundle' } & BundleOrigin)

export type BundleOrigin = {
  /** `registry/name`. */
  readonly repository: string
  readonly digest: Digest
  readonly serial: number
  readonly expires: Date | undefined
}

/** What one look at a source came to. */
export type Reading =
  | {
      readonly ok: true
      /** Equal for equal files. */
      readonly content: string
      readonly files: PolicyFiles
      readonly origin: PolicyOrigin
      /** To be called once the set is in force. Never rejects. */
      keep?(): Promise<void>
    }
  | {
      readonly ok: false
      readonly problems: readonly Problem[]
      /** Whether somebody else does not answer, and what is in force just stays a while longer. */
      readonly isOutage: boolean
    }

/** Something that policies come from. */
export type PolicySource = {
  /** How often to look; undefined: only when somebody asks. */
  readonly lookEveryMs: number | undefined
  /** Whether a proxy starts without: somebody else has it, and may be away. */
  readonly mayBeMissing: boolean
  /** Whether `read` may come to something else than before. Cheap; never rejects. */
  mayHaveChanged(): Promise<boolean>
  /** Never rejects for what is wrong with the source. */
  read(signal: AbortSignal): Promise<Reading>
  /** What was in force when the last process ended; undefined where nothing was kept, or it does not count any more. */
  kept?(signal: AbortSignal): Promise<Extract<Reading, { ok: true }> | undefined>
}

/** For messages: one line. */
export function originText(origin: PolicyOrigin): string {
  switch (origin.kind) {
    case 'none':
      return 'no policies configured'
    case 'directory':
      return origin.revision === undefined
        ? origin.directory
        : `${origin.directory} at commit ${origin.revision}`
    case 'bundle':
      return `${bundleText(origin)}, serial ${origin.serial}`
  }
}

/** A file of the set as messages name it. */
export function placeIn(origin: PolicyOrigin, file: string): string {
  switch (origin.kind) {
    case 'none':
      return file
    case 'directory':
      return join(origin.directory, file)
    case 'bundle':
      return `${bundleText(origin)}/${file}`
  }
}

/** What a decision names beside the version of the policies: only what is signed can be told apart by it for good. */
export function decisionSource(origin: PolicyOrigin): string | undefined {
  return origin.kind === 'bundle' ? `${bundleText(origin)} serial ${origin.serial}` : undefined
}

function bundleText({ repository, digest }: BundleOrigin): string {
  return `${repository}@${digest}`
}

export function failure(file: string, message: string, isOutage = false): Extract<Reading, { ok: false }> {
  return { ok: false, problems: [{ file, line: undefined, path: '', message }], isOutage }
}
