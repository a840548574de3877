import { TrustError } from '../trust-error.ts'
import { REPOSITORY_BYTES_MAX } from './limits.ts'
import { ROOT_FILE } from './names.ts'

/** Files of one repository by path: bounded, and no two under one name. */
export class FileSet {
  readonly #files = new Map<string, Buffer>()
  #sizeBytes: number

  /** Of the roots, which are kept apart, the size counts. */
  constructor(roots: ReadonlyMap<string, Buffer>) {
    this.#sizeBytes = [...roots.values()].reduce((sum, { length }) => sum + length, 0)
  }

  get all(): ReadonlyMap<string, Buffer> {
    return this.#files
  }

  /** Throws TrustError `refused`. Delegated roles choose their names, so they could try to take that of another file. */
  add(file: string, bytes: Buffer): void {
    const taken = this.#files.get(file)
    if (ROOT_FILE.test(file) || (taken !== undefined && !taken.equals(bytes))) {
      throw new TrustError('refused', `${file}: two files of the repository have this name`)
    }
    if (taken !== undefined) return
    this.#sizeBytes += bytes.length
    if (this.#sizeBytes > REPOSITORY_BYTES_MAX) {
      throw new TrustError('refused', `the repository has more than ${REPOSITORY_BYTES_MAX} bytes`)
    }
    this.#files.set(file, bytes)
  }
}
