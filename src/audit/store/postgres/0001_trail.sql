-- The same tables as in SQLite (docs/audit.md), in a schema of their own. `place` is the node's number times 2^40, and the
-- record's number in that node's chain.
CREATE TABLE nodes (
    number BIGINT PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    id     TEXT NOT NULL UNIQUE,
    role   TEXT NOT NULL -- `gateway`, or `operator`: whoever erases texts
);

-- The trail itself: appended, never changed.
CREATE TABLE records (
    place BIGINT PRIMARY KEY,
    at    BIGINT NOT NULL, -- microseconds since 1970
    kind  TEXT NOT NULL,
    id    TEXT NOT NULL,
    body  TEXT NOT NULL,
    hash  BYTEA NOT NULL
);

CREATE FUNCTION never_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit records are never changed';
END $$;

CREATE TRIGGER records_are_never_changed BEFORE UPDATE ON records
FOR EACH STATEMENT EXECUTE FUNCTION never_changed();

-- Text, apart from everything else: it may be erased.
CREATE TABLE contents (
    place   BIGINT PRIMARY KEY,
    content TEXT NOT NULL
);

-- Signatures over how long a chain was and what it ended with. `place` is that of its last record.
CREATE TABLE checkpoints (
    place      BIGINT NOT NULL,
    kind       TEXT NOT NULL, -- `checkpoint`, or `cut`: what stood before it was removed on purpose
    at         BIGINT NOT NULL,
    hash       BYTEA NOT NULL,
    public_key BYTEA NOT NULL,
    signature  BYTEA NOT NULL,
    PRIMARY KEY (place, kind)
);

-- What is searched: one row for a request (intent and outcome), a pre-check or a reported call.
CREATE TABLE entries (
    place         BIGINT PRIMARY KEY, -- the record that opened it
    outcome_place BIGINT,             -- the record that completed it
    id            TEXT NOT NULL CONSTRAINT entries_have_one_id UNIQUE,
    context_id    TEXT,
    kind          TEXT NOT NULL,
    at            BIGINT NOT NULL,
    tenant        TEXT NOT NULL,
    client        TEXT NOT NULL,
    "user"        TEXT NOT NULL,
    request_type  TEXT NOT NULL,
    decision      TEXT NOT NULL
) WITH (fillfactor = 80); -- an outcome changes its entry

CREATE INDEX entries_by_time ON entries (tenant, at, place);
CREATE INDEX entries_by_client ON entries (tenant, client, at, place);
CREATE INDEX entries_by_user ON entries (tenant, "user", at, place);
CREATE INDEX entries_by_decision ON entries (tenant, decision, at, place);
CREATE INDEX entries_by_context ON entries (context_id) WHERE context_id IS NOT NULL;

-- The policies that matched, for the search by name.
CREATE TABLE entry_policies (
    tenant TEXT NOT NULL,
    policy TEXT NOT NULL,
    at     BIGINT NOT NULL,
    entry  BIGINT NOT NULL,
    PRIMARY KEY (tenant, policy, at, entry)
);

-- What a reported call is checked against, on whatever gateway. Cleaned a day after it expired.
CREATE TABLE contexts (
    context_id TEXT PRIMARY KEY,
    client     TEXT NOT NULL,
    tenant     TEXT NOT NULL,
    approved   BOOLEAN NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE INDEX contexts_by_expiry ON contexts (expires_at);
