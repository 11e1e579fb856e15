CREATE TABLE join_tokens (
    digest BLOB PRIMARY KEY,
    service_name TEXT NOT NULL,
    incarnation TEXT NOT NULL,
    dns_names TEXT NOT NULL,
    ip_addresses TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER NOT NULL,
    seal BLOB NOT NULL
) WITHOUT ROWID;

CREATE INDEX join_tokens_by_expiry ON join_tokens (expires_at);
