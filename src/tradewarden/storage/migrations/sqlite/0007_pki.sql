INSERT INTO revisions (kind, value) VALUES ('authorities', 1);

CREATE TABLE authorities (
    role TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    issuer TEXT NOT NULL,
    state TEXT NOT NULL,
    certificate BLOB NOT NULL,
    key TEXT NOT NULL,
    created_at REAL NOT NULL,
    active_from REAL NOT NULL,
    ended_at REAL NOT NULL,
    seal BLOB NOT NULL,
    PRIMARY KEY (role, fingerprint)
);

CREATE TABLE certificates (
    serial TEXT NOT NULL,
    service_name TEXT NOT NULL,
    profile TEXT NOT NULL,
    spiffe_id TEXT NOT NULL,
    issuer TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    certificate BLOB NOT NULL,
    not_before INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    issued_at REAL NOT NULL,
    issued_by TEXT NOT NULL,
    revocation INTEGER NOT NULL,
    revoked_at REAL NOT NULL,
    reason TEXT NOT NULL,
    incarnation TEXT NOT NULL,
    seal BLOB NOT NULL
);

CREATE UNIQUE INDEX certificates_serial ON certificates (serial);

CREATE INDEX certificates_end ON certificates (not_after, serial, revocation, service_name);

CREATE INDEX certificates_service ON certificates (service_name, not_after, serial);

CREATE UNIQUE INDEX certificates_revocation ON certificates (revocation) WHERE revocation > 0;

CREATE TABLE crls (
    issuer TEXT NOT NULL,
    shard INTEGER NOT NULL,
    number INTEGER NOT NULL,
    revocation INTEGER NOT NULL,
    this_update INTEGER NOT NULL,
    next_update INTEGER NOT NULL,
    list_index BLOB NOT NULL,
    crl BLOB NOT NULL,
    seal BLOB NOT NULL,
    PRIMARY KEY (issuer, shard)
);
