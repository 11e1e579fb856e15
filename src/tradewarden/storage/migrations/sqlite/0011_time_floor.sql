CREATE TABLE time_floor (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    era INTEGER NOT NULL,
    seconds REAL NOT NULL,
    seal BLOB NOT NULL
);
