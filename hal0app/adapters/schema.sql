-- hal0.db: last derived states, what they were derived from, and the history. Times: *_tick seconds since boot,
-- *_wall and ts Unix seconds; journal.ts in milliseconds.

CREATE TABLE IF NOT EXISTS slot_state (
    slot TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    reason TEXT NOT NULL,
    message TEXT NOT NULL,
    since REAL NOT NULL,
    stale_since REAL,
    model TEXT,
    displaced_by TEXT,
    loads INTEGER NOT NULL,
    evictions INTEGER NOT NULL,
    version INTEGER NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS lemond (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    link TEXT NOT NULL,
    link_since REAL NOT NULL,
    residency TEXT NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS operation (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    model TEXT NOT NULL,
    slot TEXT,
    cause TEXT NOT NULL,
    options TEXT NOT NULL,
    status TEXT NOT NULL,
    owner TEXT NOT NULL,
    started_tick REAL NOT NULL,
    started_wall REAL NOT NULL,
    heartbeat_tick REAL NOT NULL,
    finished_tick REAL,
    finished_wall REAL,
    error_code TEXT,
    error_message TEXT,
    result TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS operation_by_model ON operation (model, started_wall);

CREATE TABLE IF NOT EXISTS evidence (
    model TEXT NOT NULL,
    kind TEXT NOT NULL,
    seen_tick REAL NOT NULL,
    seen_wall REAL NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (model, kind)
) STRICT;

CREATE TABLE IF NOT EXISTS journal (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    ts INTEGER NOT NULL,
    kind TEXT NOT NULL,
    level TEXT NOT NULL,
    source TEXT NOT NULL,
    slot TEXT,
    model TEXT,
    message TEXT NOT NULL,
    data TEXT NOT NULL,
    agent TEXT,
    operation TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS journal_by_slot ON journal (slot, id);

-- What is wrong at the moment and was told already: one row until it is right again.
CREATE TABLE IF NOT EXISTS finding (
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    text TEXT NOT NULL,
    since REAL NOT NULL,
    PRIMARY KEY (kind, key)
) STRICT;

-- The start of the machine that all ticks count from.
CREATE TABLE IF NOT EXISTS boot (
    id TEXT PRIMARY KEY
) STRICT;

-- One row for every inference request, in the order in which they ended; a ring. ts in milliseconds.
CREATE TABLE IF NOT EXISTS request (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    ts INTEGER NOT NULL,
    id TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    status INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    total_ms INTEGER NOT NULL,
    client TEXT NOT NULL,
    agent TEXT,
    slot TEXT,
    model TEXT,
    route TEXT,
    path TEXT,
    queue_ms INTEGER,
    load_ms INTEGER,
    ttft_ms INTEGER,
    tokens_in INTEGER,
    tokens_out INTEGER,
    estimated INTEGER NOT NULL,
    tokens_per_s REAL,
    error_code TEXT,
    replayed INTEGER NOT NULL
) STRICT;
