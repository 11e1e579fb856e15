CREATE TABLE services (
    service_name TEXT PRIMARY KEY,
    incarnation TEXT NOT NULL,
    permissions TEXT NOT NULL,
    secret BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    rotated_at INTEGER NOT NULL,
    dns_names TEXT NOT NULL,
    ip_addresses TEXT NOT NULL,
    seal BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE service_names (
    name TEXT PRIMARY KEY,
    service_name TEXT NOT NULL
) WITHOUT ROWID;

CREATE INDEX service_names_by_service ON service_names (service_name);

CREATE TABLE admin_token (
    name TEXT PRIMARY KEY,
    secret BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    enrolled_at INTEGER NOT NULL,
    seal BLOB NOT NULL
) WITHOUT ROWID;
