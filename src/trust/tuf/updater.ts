import { Updater, type Fetcher } from 'tuf-js'
import {
  DELEGATED_ROLES_MAX,
  ROOT_BYTES_MAX,
  ROOTS_MAX,
  SNAPSHOT_BYTES_MAX,
  TARGETS_BYTES_MAX,
  TIMESTAMP_BYTES_MAX,
} from './limits.ts'

export type UpdaterOptions = {
  /** What the client trusts lies here, a file a role; `root.json` must. */
  readonly directory: string
  readonly metadataUrl: string
  readonly fetcher: Fetcher
  /** What expiry is judged by. */
  readonly at: Date
  readonly targets?: { readonly url: string; readonly directory: string }
}

/** The client workflow of the TUF specification, section 5, as tuf-js does it, within our limits and by our clock. */
export function createUpdater({ directory, metadataUrl, fetcher, at, targets }: UpdaterOptions): Updater {
  const updater = new Updater({
    metadataDir: directory,
    metadataBaseUrl: metadataUrl,
    fetcher,
    ...(targets === undefined ? {} : { targetBaseUrl: targets.url, targetDir: targets.directory }),
    config: {
      maxRootRotations: ROOTS_MAX,
      maxDelegations: DELEGATED_ROLES_MAX,
      rootMaxLength: ROOT_BYTES_MAX,
      timestampMaxLength: TIMESTAMP_BYTES_MAX,
      snapshotMaxLength: SNAPSHOT_BYTES_MAX,
      targetsMaxLength: TARGETS_BYTES_MAX,
    },
  })
  setReferenceTime(updater, at)
  return updater
}

/**
 * tuf-js reads the machine's clock when it is made and has no parameter for it. Should a release of it keep the time
 * elsewhere, this throws rather than let two clocks judge.
 */
function setReferenceTime(updater: Updater, at: Date): void {
  const trusted: unknown = Reflect.get(updater, 'trustedSet')
  const isKnown =
    typeof trusted === 'object' &&
    trusted !== null &&
    'referenceTime' in trusted &&
    trusted.referenceTime instanceof Date
  if (!isKnown) throw new TypeError('this release of tuf-js keeps its reference time in another place')
  Reflect.set(trusted, 'referenceTime', at)
}
