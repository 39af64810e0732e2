-- Taking a lane over, and where it stands.

-- name: take_over
-- Raise the lane's epoch, which fences every earlier owner; the row is made at the first start.
INSERT INTO lanes AS l (lane, epoch) VALUES ($1, 1)
ON CONFLICT (lane) DO UPDATE SET epoch = l.epoch + 1
RETURNING epoch, batch, unemitted;

-- name: end_blockers
-- End the backends that keep another one waiting; a cancel would not reach one that is in COPY.
SELECT pid, pg_terminate_backend(pid) AS ended
FROM unnest(pg_blocking_pids($1)) AS pid;

-- name: positions
-- Where the lane stands in each of its topics.
SELECT topic, first_offset, stored_through FROM source_offsets WHERE partition = $1;

-- name: fence
-- Lock the lane for its owner; no row comes back to anybody else.
SELECT batch FROM lanes WHERE lane = $1 AND epoch = $2 FOR UPDATE;

-- name: start_partition
-- Open the books of a partition that was never read.
INSERT INTO source_offsets (topic, partition, first_offset, stored_through)
VALUES ($1, $2, $3, $3)
ON CONFLICT (topic, partition) DO NOTHING;

-- name: skip_gap
-- Step over offsets that the bus does not hold any more.
UPDATE source_offsets
SET stored_through = $4, offset_holes = offset_holes + $4 - stored_through
WHERE topic = $1 AND partition = $2 AND stored_through = $3 AND stored_through < $4;

-- name: record_gap
-- Keep which offsets were stepped over, and why.
INSERT INTO source_gaps (topic, partition, from_offset, to_offset, reason)
VALUES ($1, $2, $3, $4, $5);

-- name: caught_up
-- The lane has read everything: count the holes up to its positions, and say when that was.
UPDATE source_offsets AS s
SET
    offset_holes = s.offset_holes + a.position - s.stored_through,
    stored_through = a.position,
    caught_up_at = to_timestamp($4)
FROM unnest($2::text[], $3::bigint[]) AS a (topic, position)
WHERE s.topic = a.topic AND s.partition = $1 AND s.stored_through <= a.position;

-- name: unemitted
-- The entries of a batch, by the sequence numbers it was given.
SELECT e.*
FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS r (org_id, first_seq, last_seq)
JOIN audit_entries AS e ON e.org_id = r.org_id AND e.seq BETWEEN r.first_seq AND r.last_seq
ORDER BY e.org_id, e.seq;
