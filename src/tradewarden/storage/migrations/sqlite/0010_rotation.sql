CREATE TABLE rotation_policies (
    path TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    parameters TEXT NOT NULL,
    every_seconds INTEGER NOT NULL,
    schedule TEXT NOT NULL,
    automatic INTEGER NOT NULL,
    reads TEXT NOT NULL,
    created_at REAL NOT NULL,
    created_by TEXT NOT NULL,
    last_at REAL NOT NULL,
    last_version INTEGER NOT NULL,
    due_at REAL NOT NULL,
    next_at REAL NOT NULL,
    failures INTEGER NOT NULL,
    reason TEXT NOT NULL,
    seal BLOB NOT NULL
) WITHOUT ROWID;

CREATE INDEX rotation_policies_by_next ON rotation_policies (next_at);

CREATE TABLE rotation_runs (
    path TEXT PRIMARY KEY,
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    parameters TEXT NOT NULL,
    step TEXT NOT NULL,
    base INTEGER NOT NULL,
    version INTEGER NOT NULL,
    pending BLOB NOT NULL,
    supplied BLOB NOT NULL,
    started_at REAL NOT NULL,
    started_by TEXT NOT NULL,
    urgent INTEGER NOT NULL,
    holder TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    lease_until REAL NOT NULL,
    seal BLOB NOT NULL
) WITHOUT ROWID;
