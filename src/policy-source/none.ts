import { NO_FILES, type PolicySource } from './source.ts'

/** No source is configured, and none comes while the process runs. */
export const NO_SOURCE: PolicySource = {
  lookEveryMs: undefined,
  mayBeMissing: false,
  mayHaveChanged: async () => await Promise.resolve(false),
  read: async () =>
    await Promise.resolve({ ok: true, content: '', files: NO_FILES, origin: { kind: 'none' } }),
}
