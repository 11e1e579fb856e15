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

-- The value comes last and is NULL in an update that leaves it alone; once destroyed it is empty.
CREATE TABLE secret_versions (
    path TEXT NOT NULL,
    version INTEGER NOT NULL,
    incarnation BLOB NOT NULL,
    created_at REAL NOT NULL,
    created_by TEXT NOT NULL,
    deleted_at REAL NOT NULL,
    destroyed INTEGER NOT NULL,
    seal BLOB NOT NULL,
    value BLOB,
    PRIMARY KEY (path, version)
) WITHOUT ROWID;
