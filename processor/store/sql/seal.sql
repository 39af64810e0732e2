-- Sealing a day. In braces: {leaf} its partition, {new} the table that takes its place, {columns}
-- of the writer, {since} and {until} its bounds; all made of the day alone.

-- name: due
-- The days before $1 that hold entries and are not sealed and summed up, or have grown by a quarter
-- since; the newest, which is read most, first.
SELECT d.day
FROM partition_days AS d
JOIN pg_catalog.pg_class AS c ON c.oid = to_regclass(d.parent || '_' || to_char(d.day, 'YYYYMMDD'))
LEFT JOIN sealed_days AS s ON s.day = d.day
WHERE d.parent = 'audit_entries' AND d.day < $1 AND (
    s.sealing IS NULL AND pg_relation_size(c.oid) > 0
    OR c.reltuples > s.entries * 1.25 + 1000
)
ORDER BY d.day DESC;

-- name: unfinished
-- What a sealing that was cut off has left behind.
SELECT relname FROM pg_catalog.pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
AND relname ~ '^audit_entries_[0-9]+_sealing$';

-- name: drop
-- Remove it. After a commit in doubt it may be the partition by now.
DROP TABLE IF EXISTS {new};

-- name: unknown
-- Columns of the day that this release would not copy.
SELECT attname FROM pg_catalog.pg_attribute
WHERE attrelid = '{leaf}'::regclass AND attnum > 0 AND NOT attisdropped AND attname <> ALL($1)
ORDER BY attnum;

-- name: create
-- The table that will take the partition's place: as its own row-level security has it, the
-- owner's, and with the bounds as a constraint, so that attaching need not read it.
CREATE TABLE {new} (
    LIKE audit_entries INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE,
    CONSTRAINT {new}_bounds CHECK (occurred_at >= '{since}' AND occurred_at < '{until}')
) WITH (autovacuum_enabled = off);
ALTER TABLE {new} OWNER TO hub_audit_owner;
ALTER TABLE {new} ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own_organization ON {new}
USING (org_id = nullif(current_setting('app.org_id', true), ''));

-- name: heads
-- Up to where every organization is copied. Whatever carries a number up to here is committed,
-- because numbers are given out under a lock that is held to commit.
DROP TABLE IF EXISTS pg_temp.copied_through;
CREATE TEMPORARY TABLE copied_through AS SELECT org_id, last_seq FROM org_heads;
ALTER TABLE copied_through ADD PRIMARY KEY (org_id);
ANALYZE copied_through;

-- name: boundary
-- Where the next piece ends: so many rows further in the order of reading.
SELECT org_id, occurred_at FROM audit_entries
WHERE occurred_at >= '{since}' AND occurred_at < '{until}' AND (org_id, occurred_at) > ($1, $2)
ORDER BY org_id, occurred_at
OFFSET $3 LIMIT 1;

-- name: copy
-- One piece, in the order of reading; by way of the parent, whose row the function takes.
INSERT INTO {new} (
    {columns}, search_text, search_behalf_id, search_behalf_email, search_target_email,
    search_target_name
)
SELECT {e_columns}, s.search_text, s.behalf_id, s.behalf_email, s.target_email, s.target_name
FROM audit_entries AS e
JOIN pg_temp.copied_through AS h ON h.org_id = e.org_id AND e.seq <= h.last_seq
CROSS JOIN LATERAL entry_search(e) AS s
WHERE e.occurred_at >= '{since}' AND e.occurred_at < '{until}'
AND (e.org_id, e.occurred_at) > ($1, $2) AND (e.org_id, e.occurred_at) <= ($3, $4)
ORDER BY e.org_id, e.occurred_at;

-- name: alone
-- Use no core but one.
SELECT set_config('max_parallel_maintenance_workers', '0', false);

-- name: index
-- Built at once over sorted rows: an eighth of what they would cost row by row.
ALTER TABLE {new} ADD CONSTRAINT {new}_pkey PRIMARY KEY (org_id, occurred_at, entry_id);
ALTER TABLE {new} ADD CONSTRAINT {new}_seq_key UNIQUE (org_id, seq);
CREATE INDEX {new}_actor ON {new} (org_id, actor_id, occurred_at DESC, entry_id DESC);
CREATE INDEX {new}_actor_email ON {new} (org_id, actor_email, occurred_at DESC, entry_id DESC);
CREATE INDEX {new}_behalf_id ON {new} (org_id, search_behalf_id) WHERE search_behalf_id IS NOT NULL;
CREATE INDEX {new}_behalf_email ON {new} (org_id, search_behalf_email)
WHERE search_behalf_email IS NOT NULL;
CREATE INDEX {new}_target ON {new} (org_id, target_id, occurred_at DESC, entry_id DESC);
CREATE INDEX {new}_target_email ON {new} (org_id, search_target_email)
WHERE search_target_email IS NOT NULL;
CREATE INDEX {new}_target_name ON {new} (org_id, search_target_name)
WHERE search_target_name IS NOT NULL;
-- Who looks up an actor or a target has to find those as well that came after the sealing.
CREATE INDEX {new}_late ON {new} (org_id, occurred_at DESC, entry_id DESC)
WHERE search_text IS NULL;

-- name: sample
-- A third of the default: for a hundred thousand rows it says as much, and costs 2 us a row, not 8.
SELECT set_config('default_statistics_target', '30', false);

-- name: vacuum
-- So that no later vacuum has to touch it, and counting needs the index alone. Analyzed is what
-- conditions are about; the long texts would cost as much as all the rest.
VACUUM (FREEZE, ANALYZE) {new} (
    org_id, occurred_at, entry_id, seq, recorded_at, category, action, outcome, actor_type,
    actor_id, actor_email, target_type, target_id, ip, session_id, request_id, correlation_id,
    search_behalf_id, search_behalf_email, search_target_email, search_target_name
);

-- name: begin
-- The number of this sealing.
SELECT nextval('sealings');

-- name: summarize
-- What the copied entries come to, per organization; the fields in the order of the facets. They
-- count for nothing before the exchange.
INSERT INTO day_summaries (
    day, org_id, sealing, hours, hour_counts, facets, texts, counts
)
WITH grouped AS (
    SELECT g.org_id, g.facet, g.hour, g.count, CASE g.facet
        WHEN 0 THEN g.category
        WHEN 1 THEN g.action
        WHEN 2 THEN g.outcome
        WHEN 3 THEN g.actor
        WHEN 4 THEN g.target_type
        WHEN 5 THEN host(g.ip)
    END AS value
    FROM (
        SELECT
            e.org_id, e.category, e.action, e.outcome, e.actor, e.target_type, e.ip, e.hour,
            count(*) AS count,
            CASE
                WHEN grouping(e.category) = 0 THEN 0
                WHEN grouping(e.action) = 0 THEN 1
                WHEN grouping(e.outcome) = 0 THEN 2
                WHEN grouping(e.actor) = 0 THEN 3
                WHEN grouping(e.target_type) = 0 THEN 4
                WHEN grouping(e.ip) = 0 THEN 5
            END AS facet
        FROM (
            SELECT
                org_id, category, action, outcome, target_type, ip,
                coalesce(actor_email, actor_id) AS actor,
                extract(hour FROM occurred_at AT TIME ZONE 'UTC')::smallint AS hour
            FROM {new} WHERE category <> 'audit' AND search_text IS NOT NULL
        ) AS e
        GROUP BY GROUPING SETS (
            (e.org_id, e.category), (e.org_id, e.action), (e.org_id, e.outcome),
            (e.org_id, e.actor), (e.org_id, e.target_type), (e.org_id, e.ip), (e.org_id, e.hour)
        )
    ) AS g
), ranked AS (
    SELECT *, row_number() OVER (
        PARTITION BY org_id, facet ORDER BY count DESC, value COLLATE "C"
    ) AS place
    FROM grouped
    WHERE facet IS NULL OR value IS NOT NULL
)
SELECT
    $1, org_id, $2,
    array_agg(hour) FILTER (WHERE facet IS NULL),
    array_agg(count) FILTER (WHERE facet IS NULL),
    array_agg(facet) FILTER (WHERE facet IS NOT NULL),
    array_agg(value) FILTER (WHERE facet IS NOT NULL),
    array_agg(count) FILTER (WHERE facet IS NOT NULL)
FROM ranked WHERE facet IS NULL OR place <= 200
GROUP BY org_id;

-- name: forget
-- Summaries of a day from any sealing but the one that counts.
DELETE FROM day_summaries AS s
WHERE s.day = $1 AND NOT EXISTS (
    SELECT FROM sealed_days AS d WHERE d.day = s.day AND d.sealing = s.sealing
);

-- name: probes_only
-- Find rows by index probes alone.
SELECT
    set_config('enable_hashjoin', 'off', true),
    set_config('enable_mergejoin', 'off', true),
    set_config('enable_seqscan', 'off', true),
    set_config('enable_bitmapscan', 'off', true);

-- name: late
-- Copy what came since, of the organizations that got anything, and remember up to where. One
-- statement, one snapshot: nothing falls between the heads that it sees and the rows.
WITH moved AS MATERIALIZED (
    SELECT h.org_id, coalesce(c.last_seq, 0) AS after_seq, h.last_seq
    FROM org_heads AS h LEFT JOIN pg_temp.copied_through AS c ON c.org_id = h.org_id
    WHERE h.last_seq > coalesce(c.last_seq, 0)
), remembered AS (
    INSERT INTO pg_temp.copied_through AS c (org_id, last_seq)
    SELECT m.org_id, m.last_seq FROM moved AS m
    ON CONFLICT (org_id) DO UPDATE SET last_seq = excluded.last_seq
)
INSERT INTO {new} ({columns})
SELECT {e_columns}
FROM moved AS m
JOIN {leaf} AS e ON e.org_id = m.org_id AND e.seq > m.after_seq AND e.seq <= m.last_seq;

-- name: counts
-- How many should have been copied, and how many were.
SELECT
    (
        SELECT count(*) FROM {leaf} AS e
        JOIN pg_temp.copied_through AS h ON h.org_id = e.org_id AND e.seq <= h.last_seq
    ) AS wanted,
    (SELECT count(*) FROM {new}) AS copied;

-- name: patience
-- Whoever comes while we wait for a lock waits behind us: no longer than nobody would notice.
SELECT set_config('lock_timeout', $1, true);

-- name: lock
-- First the parent alone, then the leaf: COPY and every reader take them in that order.
LOCK TABLE ONLY audit_entries IN ACCESS EXCLUSIVE MODE;
LOCK TABLE {leaf} IN ACCESS EXCLUSIVE MODE;

-- name: exchange
-- The old partition goes, the new one takes its name and its place: some catalog rows each.
ALTER TABLE audit_entries DETACH PARTITION {leaf};
DROP TABLE {leaf};
ALTER TABLE {new} RENAME TO {leaf};
ALTER INDEX {new}_pkey RENAME TO {leaf}_pkey;
ALTER INDEX {new}_seq_key RENAME TO {leaf}_seq_key;
ALTER INDEX {new}_actor RENAME TO {leaf}_actor;
ALTER INDEX {new}_actor_email RENAME TO {leaf}_actor_email;
ALTER INDEX {new}_behalf_id RENAME TO {leaf}_behalf_id;
ALTER INDEX {new}_behalf_email RENAME TO {leaf}_behalf_email;
ALTER INDEX {new}_target RENAME TO {leaf}_target;
ALTER INDEX {new}_target_email RENAME TO {leaf}_target_email;
ALTER INDEX {new}_target_name RENAME TO {leaf}_target_name;
ALTER INDEX {new}_late RENAME TO {leaf}_late;
ALTER TABLE audit_entries ATTACH PARTITION {leaf} FOR VALUES FROM ('{since}') TO ('{until}');
ALTER TABLE {leaf} DROP CONSTRAINT {new}_bounds, RESET (autovacuum_enabled);

-- name: sealed
-- Keep the day's name in the books.
INSERT INTO sealed_days (day, entries, sealing) VALUES ($1, $2, $3)
ON CONFLICT (day) DO UPDATE
SET entries = excluded.entries, sealing = excluded.sealing, sealed_at = now();

-- name: rest
-- Let nobody seal for so long, whichever maintainer is at work then.
UPDATE maintenance SET sealing_rests_until = now() + $1::interval RETURNING sealing_rests_until;

-- name: rests_until
-- Until when that is, if it is not over.
SELECT sealing_rests_until FROM maintenance WHERE sealing_rests_until > now();
