-- `entries` and `entry_policies` follow the records, and may be a moment behind: up to which record of each node they
-- are filled. Until now every record filled them in its own transaction.
CREATE TABLE indexed (
    node  INTEGER PRIMARY KEY,
    place INTEGER NOT NULL
) STRICT;

INSERT INTO indexed (node, place)
SELECT place >> 40, max(place) FROM records GROUP BY place >> 40;
