CREATE TABLE audit_leader (
    id INTEGER PRIMARY KEY,
    holder TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    expires_at REAL NOT NULL
);

INSERT INTO audit_leader (id, holder, epoch, expires_at) VALUES (1, '', 0, 0);

CREATE TABLE audit_tree (
    id INTEGER PRIMARY KEY,
    size INTEGER NOT NULL
);

INSERT INTO audit_tree (id, size) VALUES (1, 0);

CREATE TABLE audit_journals (
    boot TEXT PRIMARY KEY,
    counter INTEGER NOT NULL,
    segment INTEGER NOT NULL,
    position INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE audit_entries (
    sequence INTEGER PRIMARY KEY,
    timestamp TEXT NOT NULL,
    event_type TEXT NOT NULL,
    principal TEXT NOT NULL,
    resource TEXT NOT NULL,
    action TEXT NOT NULL,
    result TEXT NOT NULL,
    request_id TEXT NOT NULL,
    line BLOB NOT NULL
);

CREATE TABLE audit_spans (
    tile INTEGER PRIMARY KEY,
    earliest TEXT NOT NULL,
    latest TEXT NOT NULL
);

CREATE TABLE audit_marks (
    tile INTEGER PRIMARY KEY,
    marks BLOB NOT NULL
);

CREATE TABLE audit_tiles (
    level INTEGER NOT NULL,
    number INTEGER NOT NULL,
    hashes BLOB NOT NULL,
    PRIMARY KEY (level, number)
);

CREATE TABLE audit_checkpoints (
    size INTEGER PRIMARY KEY,
    hour INTEGER NOT NULL,
    note BLOB NOT NULL
);
