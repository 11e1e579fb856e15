CREATE TABLE revisions (
    kind TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;

INSERT INTO revisions (kind, value) VALUES ('tokens', 1), ('certificates', 1), ('services', 1), ('keys', 1);

CREATE TABLE audit_inbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    journal TEXT NOT NULL DEFAULT '',
    first INTEGER NOT NULL DEFAULT 0,
    count INTEGER NOT NULL DEFAULT 1,
    batch BLOB NOT NULL
);
