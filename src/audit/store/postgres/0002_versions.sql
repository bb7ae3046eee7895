-- Versions of policies that ever were in force, so that their decisions can be recomputed. A module is kept once.
CREATE TABLE modules (
    digest TEXT PRIMARY KEY, -- SHA-256
    bytes  BYTEA NOT NULL
);

CREATE TABLE versions (
    version  TEXT PRIMARY KEY, -- digest of component, settings and cases together
    module   TEXT NOT NULL REFERENCES modules (digest),
    manifest TEXT NOT NULL
);
