CREATE TABLE tokens (
    digest BLOB PRIMARY KEY,
    jti TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    permissions TEXT NOT NULL,
    issued_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    kid TEXT NOT NULL,
    incarnation TEXT NOT NULL,
    generation INTEGER NOT NULL,
    family TEXT NOT NULL,
    issued_by TEXT NOT NULL,
    confirmation TEXT NOT NULL,
    revoked_at INTEGER NOT NULL,
    seal BLOB NOT NULL
);

CREATE UNIQUE INDEX tokens_by_jti ON tokens (jti);

CREATE INDEX tokens_by_subject ON tokens (subject, jti);

CREATE INDEX tokens_by_expiry ON tokens (expires_at);

CREATE TABLE token_subjects (
    subject TEXT PRIMARY KEY,
    generation INTEGER NOT NULL,
    seal BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE token_families (
    family TEXT PRIMARY KEY,
    subject TEXT NOT NULL,
    permissions TEXT NOT NULL,
    incarnation TEXT NOT NULL,
    generation INTEGER NOT NULL,
    lifetime INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    current BLOB NOT NULL,
    issued_by TEXT NOT NULL,
    ended_at INTEGER NOT NULL,
    confirmation TEXT NOT NULL,
    seal BLOB NOT NULL
) WITHOUT ROWID;

CREATE INDEX token_families_by_expiry ON token_families (expires_at);

CREATE TABLE refresh_tokens (
    digest BLOB PRIMARY KEY,
    family TEXT NOT NULL,
    issued_at INTEGER NOT NULL,
    used_at INTEGER NOT NULL,
    successor BLOB NOT NULL,
    seal BLOB NOT NULL
) WITHOUT ROWID;

CREATE INDEX refresh_tokens_by_family ON refresh_tokens (family);

CREATE TABLE signing_keys (
    kid TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    version INTEGER NOT NULL,
    algorithm TEXT NOT NULL,
    source TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    retired_at INTEGER NOT NULL,
    secret BLOB NOT NULL,
    seal BLOB NOT NULL
) WITHOUT ROWID;
