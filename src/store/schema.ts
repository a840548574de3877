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
  `
  -- Everything that is a cache gets a time of use and a limit, so that what nobody pulls goes first.
  ALTER TABLE manifest ADD COLUMN used_at INTEGER NOT NULL DEFAULT 0;
  CREATE INDEX manifest_by_use ON manifest (used_at);
  CREATE INDEX tag_by_check ON tag (checked_at);

  CREATE TABLE repository (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
  ) STRICT;
  INSERT INTO repository SELECT id, text FROM name
    WHERE id IN (SELECT repository FROM closure UNION SELECT repository FROM blob);

  -- A manifest that was let through and names others. Its id grows with every insert, so that it orders parents by when
  -- they were last let through. size: its rows in closure and its own.
  CREATE TABLE parent (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    repository INTEGER NOT NULL,
    digest TEXT NOT NULL,
    used_at INTEGER NOT NULL,
    size INTEGER NOT NULL,
    UNIQUE (repository, digest)
  ) STRICT;
  CREATE INDEX parent_by_use ON parent (used_at, size);
  INSERT INTO parent (repository, digest, used_at, size)
    SELECT closure.repository, name.text, 0, count(*) + 1 FROM closure JOIN name ON name.id = closure.parent
    GROUP BY closure.repository, closure.parent ORDER BY max(closure.id);

  -- digest: its bytes; the algorithm follows from their number. The key gives the newest parents without sorting the
  -- thousands that a base layer has.
  CREATE TABLE named (
    digest BLOB NOT NULL,
    repository INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('child', 'blob', 'evidence')),
    parent INTEGER NOT NULL,
    PRIMARY KEY (digest, repository, kind, parent)
  ) STRICT, WITHOUT ROWID;
  INSERT OR IGNORE INTO named
    SELECT unhex(substr(name.text, instr(name.text, ':') + 1)), closure.repository, closure.kind, parent.id
    FROM closure JOIN name ON name.id = closure.digest JOIN name AS parent_name ON parent_name.id = closure.parent
    JOIN parent ON parent.repository = closure.repository AND parent.digest = parent_name.text;
  DROP TABLE closure;
  ALTER TABLE named RENAME TO closure;
  CREATE INDEX closure_by_parent ON closure (parent);

  CREATE TABLE member (
    repository INTEGER NOT NULL,
    digest BLOB NOT NULL,
    used_at INTEGER NOT NULL,
    PRIMARY KEY (repository, digest)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX member_by_use ON member (used_at);
  INSERT OR IGNORE INTO member
    SELECT blob.repository, unhex(substr(name.text, instr(name.text, ':') + 1)), 0
    FROM blob JOIN name ON name.id = blob.digest;
  DROP TABLE blob;
  DROP TABLE name;

  CREATE TRIGGER parent_gone AFTER DELETE ON parent BEGIN
    DELETE FROM closure WHERE parent = old.id;
    DELETE FROM repository WHERE id = old.repository
      AND NOT EXISTS (SELECT 1 FROM parent WHERE repository = old.repository)
      AND NOT EXISTS (SELECT 1 FROM member WHERE repository = old.repository);
  END;
  CREATE TRIGGER member_gone AFTER DELETE ON member BEGIN
    DELETE FROM repository WHERE id = old.repository
      AND NOT EXISTS (SELECT 1 FROM parent WHERE repository = old.repository)
      AND NOT EXISTS (SELECT 1 FROM member WHERE repository = old.repository);
  END;

  -- Of a decision whose json is not its key: the key itself is checked by its id.
  ALTER TABLE decision ADD COLUMN checksum TEXT;

  -- Here and below a row carries a checksum of its own: verdicts and reviews rest on it.
  CREATE TABLE satisfied (
    id INTEGER PRIMARY KEY,
    repository TEXT NOT NULL,
    digest TEXT NOT NULL,
    policy TEXT NOT NULL,
    policy_version TEXT NOT NULL,
    at INTEGER NOT NULL,
    used_at INTEGER NOT NULL,
    checksum TEXT NOT NULL,
    UNIQUE (repository, digest, policy, policy_version)
  ) STRICT;
  CREATE INDEX satisfied_by_use ON satisfied (used_at, at);

  CREATE TABLE log_entry (
    id INTEGER PRIMARY KEY,
    log TEXT NOT NULL,
    uuid TEXT NOT NULL,
    log_index TEXT NOT NULL,
    used_at INTEGER NOT NULL,
    size INTEGER NOT NULL,
    checksum TEXT NOT NULL,
    json TEXT NOT NULL,
    UNIQUE (log, uuid)
  ) STRICT;
  CREATE INDEX log_entry_by_index ON log_entry (log, log_index);
  CREATE INDEX log_entry_by_use ON log_entry (used_at, size);

  CREATE TABLE admission (
    id INTEGER PRIMARY KEY,
    registry TEXT NOT NULL,
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    decision TEXT NOT NULL,
    policies TEXT NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    count INTEGER NOT NULL,
    clients TEXT NOT NULL,
    found_at INTEGER,
    verdict TEXT CHECK (verdict IN ('satisfied', 'violated')),
    reason TEXT,
    checksum TEXT NOT NULL
  ) STRICT;
  -- One that was judged stays as it is; the same image let in again is another one.
  CREATE UNIQUE INDEX admission_open ON admission (registry, name, digest, decision) WHERE verdict IS NULL;
  CREATE INDEX admission_by_time ON admission (last_at);
  `,
  `
  -- Images that were refused: no outage lets them pass.
  ALTER TABLE decision ADD COLUMN refused_image TEXT;
  CREATE INDEX decision_by_refused_image ON decision (refused_image) WHERE refused_image IS NOT NULL;
  UPDATE decision SET refused_image = json_extract(json, '$.repository') || '@' || json_extract(json, '$.digest')
    WHERE json_valid(json) AND json_extract(json, '$.outcome') = 'refuse';
  `,
  `
  -- What each ring pulls. results: what the policies say of it, one array each; see sightings.ts.
  CREATE TABLE sighting (
    id INTEGER PRIMARY KEY,
    registry TEXT NOT NULL,
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    ring TEXT NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    pulls INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    is_signed INTEGER NOT NULL,
    has_provenance INTEGER NOT NULL,
    tags TEXT NOT NULL,
    results TEXT NOT NULL,
    checksum TEXT NOT NULL,
    UNIQUE (digest, name, registry, ring)
  ) STRICT;
  CREATE INDEX sighting_by_time ON sighting (last_at);

  CREATE TABLE finding (
    id INTEGER PRIMARY KEY,
    repository TEXT NOT NULL,
    subject TEXT NOT NULL,
    used_at INTEGER NOT NULL,
    size INTEGER NOT NULL,
    checksum TEXT NOT NULL,
    trusted TEXT NOT NULL,
    json TEXT NOT NULL,
    UNIQUE (repository, subject)
  ) STRICT;
  CREATE INDEX finding_by_use ON finding (used_at, size);

  -- As many as there are policies and rings.
  CREATE TABLE rollout_stage (
    policy TEXT NOT NULL,
    ring TEXT NOT NULL,
    version TEXT NOT NULL,
    mode TEXT NOT NULL,
    since INTEGER NOT NULL,
    checksum TEXT NOT NULL,
    PRIMARY KEY (policy, ring)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE promotion (
    id INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    policy TEXT NOT NULL,
    ring TEXT NOT NULL,
    from_mode TEXT NOT NULL,
    to_mode TEXT NOT NULL,
    policy_version TEXT NOT NULL,
    by_whom TEXT NOT NULL,
    is_met INTEGER NOT NULL,
    criteria TEXT NOT NULL,
    override TEXT,
    checksum TEXT NOT NULL
  ) STRICT;
  CREATE INDEX promotion_by_time ON promotion (at);
  `,
]
