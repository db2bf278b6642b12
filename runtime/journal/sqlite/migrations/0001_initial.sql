CREATE TABLE owner (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    epoch INTEGER NOT NULL
);
INSERT INTO owner (id, epoch) VALUES (1, 0);

CREATE TABLE graphs (
    number INTEGER PRIMARY KEY,
    graph_id TEXT NOT NULL UNIQUE,
    version TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    nodes INTEGER NOT NULL,
    entry_point TEXT NOT NULL,
    definition BLOB NOT NULL,
    created_at TEXT NOT NULL,
    deleted INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE runs (
    number INTEGER PRIMARY KEY,
    run_id TEXT NOT NULL UNIQUE,
    graph_id TEXT NOT NULL,
    status TEXT NOT NULL,
    submitted_at TEXT NOT NULL,
    started_at TEXT,
    completed_at TEXT,
    last_seq INTEGER NOT NULL,
    error TEXT,
    final_state BLOB
);
CREATE INDEX runs_unfinished ON runs (number) WHERE completed_at IS NULL;
CREATE INDEX runs_by_graph ON runs (graph_id, number);
CREATE INDEX runs_by_status ON runs (status, number);

-- Append-only, with an integer rowid: text keys or WITHOUT ROWID cost several times as much when runs interleave.
CREATE TABLE journal (
    position INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    first_seq INTEGER NOT NULL,
    count INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    body BLOB NOT NULL,
    hash BLOB NOT NULL
);
CREATE UNIQUE INDEX journal_by_run ON journal (run, first_seq);
