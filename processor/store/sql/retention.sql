-- Retention. In braces: {parent} and {leaf}, a partition of it, made of its name and a day alone.

-- name: kept
-- How many days were kept by the last round.
SELECT retention_days FROM maintenance;

-- name: keep
-- How many are from now on.
UPDATE maintenance SET retention_days = $1 WHERE retention_days IS DISTINCT FROM $1;

-- name: overdue
-- The partitions of days before $2, the oldest first.
SELECT d.day FROM partition_days AS d WHERE d.parent = $1 AND d.day < $2 ORDER BY d.day;

-- name: detached
-- What a purge that was cut off has left: tables of days that are no partition any more (false), or
-- only half (true).
SELECT to_date(right(c.relname, 8), 'YYYYMMDD') AS day, i.inhrelid IS NOT NULL AS half
FROM pg_catalog.pg_class AS c
LEFT JOIN pg_catalog.pg_inherits AS i ON i.inhrelid = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r'
AND c.relname ~ ('^' || $1 || '_[0-9]{8}$')
AND (i.inhrelid IS NULL OR i.inhdetachpending)
ORDER BY 1;

-- name: rows
-- How many rows a day holds, as far as is known without counting.
SELECT greatest(reltuples, 0)::bigint FROM pg_catalog.pg_class WHERE oid = to_regclass($1);

-- name: patience
-- Detaching waits for whoever reads; meanwhile it holds up nobody but who would add a partition.
SELECT set_config('lock_timeout', $1, false);

-- name: detach
-- Readers that began before keep what they see; those that begin now see the day no more.
ALTER TABLE {parent} DETACH PARTITION {leaf} CONCURRENTLY;

-- name: finalize
-- The second half of it.
ALTER TABLE {parent} DETACH PARTITION {leaf} FINALIZE;

-- name: explain_gaps
-- Note every number of the day that no reader will find, one row an organization; it says the same
-- however often it is said. Before the day goes, so that no hole is ever without its reason.
WITH gone AS (
    SELECT org_id, range_agg(int8range(seq, seq, '[]')) AS seqs FROM {leaf} GROUP BY org_id
), noted AS (
    DELETE FROM seq_gaps AS g USING gone
    WHERE g.org_id = gone.org_id AND g.reason = $1
    RETURNING g.org_id, g.seqs
)
INSERT INTO seq_gaps (org_id, seqs, reason)
SELECT org_id, range_agg(seqs), $1
FROM (SELECT * FROM gone UNION ALL SELECT * FROM noted) AS every
GROUP BY org_id;

-- name: unexplain_gaps
-- The numbers of a day that readers find again are no gap any more.
WITH back AS (
    SELECT org_id, range_agg(int8range(seq, seq, '[]')) AS seqs FROM {leaf} GROUP BY org_id
), noted AS (
    DELETE FROM seq_gaps AS g USING back
    WHERE g.org_id = back.org_id AND g.reason = $1
    RETURNING g.org_id, g.seqs - back.seqs AS seqs
)
INSERT INTO seq_gaps (org_id, seqs, reason)
SELECT org_id, seqs, $1 FROM noted WHERE NOT isempty(seqs);

-- name: attach
-- Detaching has left a constraint of the same bounds: nothing is read, and no writer waits.
ALTER TABLE {parent} ATTACH PARTITION {leaf} FOR VALUES FROM ('{since}') TO ('{until}');

-- name: note_purge
-- What has to be announced.
INSERT INTO purges (day, org_id, entries, first_seq, last_seq)
SELECT $1, org_id, count(*), min(seq), max(seq) FROM {leaf} GROUP BY org_id;

-- name: drop
-- It is nobody's any more.
DROP TABLE {leaf};

-- name: unseal
-- A day that is gone is not sealed, and comes to nothing.
WITH summaries AS (DELETE FROM day_summaries WHERE day = $1)
DELETE FROM sealed_days WHERE day = $1;

-- name: unannounced
-- Purges that their organizations were not told of, the oldest first.
SELECT day, org_id, entries, first_seq, last_seq, purged_at FROM purges
WHERE announced_at IS NULL ORDER BY purged_at, day, org_id LIMIT $1;

-- name: announced
-- The bus has acknowledged them.
UPDATE purges AS p SET announced_at = now()
FROM unnest($1::date[], $2::text[], $3::timestamptz[]) AS a (day, org_id, purged_at)
WHERE p.day = a.day AND p.org_id = a.org_id AND p.purged_at = a.purged_at;

-- name: forget
-- Announcements are entries by now, and as old as entries get.
DELETE FROM purges WHERE announced_at < now() - $1::interval;
