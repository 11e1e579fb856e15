CREATE TABLE secrets (
    path TEXT PRIMARY KEY,
    incarnation BLOB NOT NULL,
    current INTEGER NOT NULL,
    oldest INTEGER NOT NULL,
    max_versions INTEGER NOT NULL,
    custom BLOB NOT NULL,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    seal BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE secret_versions (
    path TEXT NOT NULL,
    version INTEGER NOT NULL,
    incarnation BLOB NOT NULL,
    created_at REAL NOT NULL,
    created_by TEXT NOT NULL,
    deleted_at REAL NOT NULL,
    destroyed INTEGER NOT NULL,
    value BLOB NOT NULL,
    seal BLOB NOT NULL,
    PRIMARY KEY (path, version)
);
