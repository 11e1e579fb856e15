CREATE TABLE authorities (
    name TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    certificate BLOB NOT NULL,
    created_at REAL NOT NULL,
    seal BLOB NOT NULL
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
    seal BLOB NOT NULL
);

CREATE UNIQUE INDEX certificates_serial ON certificates (serial);

CREATE INDEX certificates_end ON certificates (not_after, serial, revocation, service_name);

CREATE INDEX certificates_service ON certificates (service_name, not_after, serial);

CREATE UNIQUE INDEX certificates_revocation ON certificates (revocation) WHERE revocation > 0;

CREATE TABLE crls (
    issuer TEXT PRIMARY KEY,
    number INTEGER NOT NULL,
    revocation INTEGER NOT NULL,
    this_update INTEGER NOT NULL,
    next_update INTEGER NOT NULL,
    crl BLOB NOT NULL,
    seal BLOB NOT NULL
);
