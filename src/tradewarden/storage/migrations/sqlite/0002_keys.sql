CREATE TABLE root_keys (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    generation INTEGER NOT NULL,
    check_value BLOB NOT NULL,
    uri TEXT NOT NULL,
    salt BLOB NOT NULL,
    iterations INTEGER NOT NULL,
    lanes INTEGER NOT NULL,
    memory_cost INTEGER NOT NULL,
    purposes TEXT NOT NULL,
    created_at REAL NOT NULL,
    seal BLOB NOT NULL
);

CREATE TABLE purpose_keys (
    purpose TEXT NOT NULL,
    version INTEGER NOT NULL,
    state TEXT NOT NULL,
    wrapped BLOB NOT NULL,
    created_at REAL NOT NULL,
    seal BLOB NOT NULL,
    PRIMARY KEY (purpose, version)
) WITHOUT ROWID;

CREATE TABLE key_budgets (
    purpose TEXT NOT NULL,
    version INTEGER NOT NULL,
    leased INTEGER NOT NULL,
    seal BLOB NOT NULL,
    PRIMARY KEY (purpose, version)
) WITHOUT ROWID;
