CREATE TABLE acme_replacements (
    serial TEXT PRIMARY KEY,
    order_id TEXT NOT NULL,
    seal BLOB NOT NULL
) WITHOUT ROWID;
