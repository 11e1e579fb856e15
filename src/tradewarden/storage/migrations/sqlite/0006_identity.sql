CREATE TABLE services (
    service_name TEXT PRIMARY KEY,
    incarnation TEXT NOT NULL,
    permissions TEXT NOT NULL,
    secret BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    rotated_at INTEGER NOT NULL,
    seal BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE admin_token (
    name TEXT PRIMARY KEY,
    secret BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    enrolled_at INTEGER NOT NULL,
    seal BLOB NOT NULL
) WITHOUT ROWID;
