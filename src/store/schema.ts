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

  -- id grows with every insert, so that it orders parents by when they were last let through.
  CREATE TABLE closure (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    repository TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('child', 'blob')),
    digest TEXT NOT NULL,
    parent TEXT NOT NULL
  ) STRICT;
  CREATE UNIQUE INDEX closure_by_digest ON closure (digest, repository, kind, parent);

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
