/**
 * The schema, one step an entry; `PRAGMA user_version` counts the steps a database has had. A step that was released
 * is never edited: a change is a new step at the end.
 */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE content (
    digest TEXT PRIMARY KEY,
    size INTEGER NOT NULL,
    used_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX content_by_use ON content (used_at);

  CREATE TABLE manifest (
    repository TEXT NOT NULL,
    digest TEXT NOT NULL,
    content_type TEXT NOT NULL,
    PRIMARY KEY (repository, digest)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX manifest_by_digest ON manifest (digest);

  -- Repositories and digests as numbers: one closure row would otherwise repeat 200 bytes in the table and each index.
  CREATE TABLE name (
    id INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE
  ) STRICT;

  -- id grows with every insert, so that it orders parents by when they were last let through.
  CREATE TABLE closure (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    repository INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('child', 'blob', 'evidence')),
    digest INTEGER NOT NULL,
    parent INTEGER NOT NULL
  ) STRICT;
  CREATE UNIQUE INDEX closure_once ON closure (digest, repository, kind, parent);
  -- Ends in id, as every index does: the newest parents without sorting the thousands that a base layer has.
  CREATE INDEX closure_by_digest ON closure (digest, repository, kind);

  -- That upstream served the blob from this repository: bytes that are cached through another one are not enough.
  CREATE TABLE blob (
    repository INTEGER NOT NULL,
    digest INTEGER NOT NULL,
    PRIMARY KEY (repository, digest)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE tag (
    repository TEXT NOT NULL,
    tag TEXT NOT NULL,
    digest TEXT NOT NULL,
    checked_at INTEGER NOT NULL,
    PRIMARY KEY (repository, tag)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE evidence (
    id INTEGER PRIMARY KEY,
    repository TEXT NOT NULL,
    subject TEXT NOT NULL,
    gathered_at INTEGER NOT NULL,
    used_at INTEGER NOT NULL,
    size INTEGER NOT NULL,
    checksum TEXT NOT NULL,
    header TEXT NOT NULL,
    bytes BLOB NOT NULL,
    UNIQUE (repository, subject)
  ) STRICT;
  CREATE INDEX evidence_by_use ON evidence (used_at, size);

  CREATE TABLE decision (
    key TEXT PRIMARY KEY,
    id TEXT NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    count INTEGER NOT NULL,
    json TEXT NOT NULL
  ) STRICT;
  CREATE INDEX decision_by_time ON decision (last_at);
  `,
]
