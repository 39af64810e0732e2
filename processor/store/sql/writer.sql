-- One batch of one lane, in the order in which the writer runs them.

-- name: next_batch
-- The fence, before anything else: an owner whose epoch is over gets no row. Holds to commit.
UPDATE lanes SET batch = batch + 1 WHERE lane = $1 AND epoch = $2 RETURNING batch;

-- name: raise_heads
-- Take the next sequence numbers; in sorted order, so that no two batches wait for each other.
INSERT INTO org_heads AS h (org_id, last_seq)
SELECT t.org_id, t.added FROM unnest($1::text[], $2::bigint[]) AS t (org_id, added)
ORDER BY t.org_id COLLATE "C"
ON CONFLICT (org_id) DO UPDATE SET last_seq = h.last_seq + excluded.last_seq
RETURNING org_id, last_seq;

-- name: probes_only
-- Look up by index probes alone: a hash or merge join would read whole days.
SELECT
    set_config('enable_hashjoin', 'off', true),
    set_config('enable_mergejoin', 'off', true),
    set_config('enable_seqscan', 'off', true),
    set_config('enable_bitmapscan', 'off', true);

-- name: existing
-- The entries that stand under these identities already. The range of time is that of the keys:
-- it lets the planner leave out the other days. As long as nothing is known of a day that has just
-- begun, it would compare every key with every row; OFFSET 0 makes it probe for each key.
SELECT e.*
FROM unnest($1::text[], $2::timestamptz[], $3::uuid[]) AS k (org_id, occurred_at, entry_id)
CROSS JOIN LATERAL (
    SELECT * FROM audit_entries AS a
    WHERE a.org_id = k.org_id AND a.occurred_at = k.occurred_at AND a.entry_id = k.entry_id
        AND a.occurred_at BETWEEN $4 AND $5
    OFFSET 0
) AS e;

-- name: redriven
-- The dead letters whose records came in again.
UPDATE dead_letters AS d SET redriven_at = now()
FROM unnest($1::text[], $2::integer[], $3::bigint[]) AS r (topic, partition, "offset")
WHERE d.topic = r.topic AND d.partition = r.partition AND d."offset" = r."offset"
AND d.redriven_at IS NULL;

-- name: finish_batch
-- Advance the books of every topic of the batch, and list what it has to emit.
WITH advanced AS (
    UPDATE source_offsets AS s
    SET
        stored_through = a.stored_through,
        entries = s.entries + a.entries,
        duplicates = s.duplicates + a.duplicates,
        discards = s.discards + a.discards,
        dead_letters = s.dead_letters + a.dead_letters,
        offset_holes = s.offset_holes + a.offset_holes
    FROM unnest(
        $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
        $9::bigint[]
    ) AS a (topic, stored_through, entries, duplicates, discards, dead_letters, offset_holes)
    WHERE s.topic = a.topic AND s.partition = $1 AND s.stored_through <= a.stored_through
    RETURNING s.topic
), listed AS (
    UPDATE lanes SET unemitted = $2 WHERE lane = $1
)
SELECT count(*) FROM advanced;
