CREATE TABLE acme_keys (
    id TEXT PRIMARY KEY,
    service_name TEXT NOT NULL,
    incarnation TEXT NOT NULL,
    dns_names TEXT NOT NULL,
    ip_addresses TEXT NOT NULL,
    profile TEXT NOT NULL,
    secret BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    account TEXT NOT NULL,
    seal BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE acme_accounts (
    id TEXT PRIMARY KEY,
    thumbprint TEXT NOT NULL,
    jwk TEXT NOT NULL,
    key_id TEXT NOT NULL,
    service_name TEXT NOT NULL,
    incarnation TEXT NOT NULL,
    status TEXT NOT NULL,
    contact TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    seal BLOB NOT NULL
) WITHOUT ROWID;

CREATE UNIQUE INDEX acme_accounts_thumbprint ON acme_accounts (thumbprint);

CREATE TABLE acme_orders (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    service_name TEXT NOT NULL,
    status TEXT NOT NULL,
    state TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    due_at REAL NOT NULL,
    epoch INTEGER NOT NULL,
    serial TEXT NOT NULL,
    seal BLOB NOT NULL
);

CREATE INDEX acme_orders_account ON acme_orders (account, id);

CREATE INDEX acme_orders_due ON acme_orders (due_at) WHERE due_at > 0;

CREATE INDEX acme_orders_expiry ON acme_orders (expires_at, status);

CREATE TABLE acme_nonces (
    nonce TEXT PRIMARY KEY,
    ends_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX acme_nonces_end ON acme_nonces (ends_at);
