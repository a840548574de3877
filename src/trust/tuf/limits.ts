/** What one repository may cost us. Its operators, and whoever sits on the way to it, control every one of these. */

export const ROOT_BYTES_MAX = 512_000
export const TIMESTAMP_BYTES_MAX = 16_384
export const SNAPSHOT_BYTES_MAX = 2_000_000
export const TARGETS_BYTES_MAX = 2_000_000
export const TARGET_BYTES_MAX = 16 * 1024 * 1024

/**
 * Members of one JSON object or array in metadata, such as targets of a role. @tufjs/models takes the square of it in time, and
 * before any signature is checked: 500 take 40 ms, 8,000 take 24 s.
 */
export const MEMBERS_MAX = 512

/** New roots in one refresh. */
export const ROOTS_MAX = 256

export const DELEGATED_ROLES_MAX = 256
export const DELEGATION_DEPTH_MAX = 8
/** Of all roles together. */
export const TARGETS_MAX = 2_000

/** All files of a mirror: they are held in memory, and once more on disk. */
export const REPOSITORY_BYTES_MAX = 64 * 1024 * 1024
