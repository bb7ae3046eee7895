-- Versions of policies that ever were in force, so that their decisions can be recomputed. A module is kept once, in
-- parts: the gateway's records must not wait behind one large transaction. The version is written last.
CREATE TABLE modules (
    digest TEXT NOT NULL, -- SHA-256 of the whole module
    part   INTEGER NOT NULL,
    bytes  BLOB NOT NULL,
    PRIMARY KEY (digest, part)
) STRICT;

CREATE TABLE versions (
    version  TEXT PRIMARY KEY, -- digest of component, settings and cases together
    module   TEXT NOT NULL,
    manifest TEXT NOT NULL
) STRICT;

CREATE INDEX versions_by_module ON versions (module);
