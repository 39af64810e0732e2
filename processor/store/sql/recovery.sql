-- What `hub-audit recover` does when the database lost commits that were published already, and
-- when a raw partition does not hold what was stored of it.

-- name: last_stored
-- When each lane stored a batch or saw that it was complete, by its workers' clocks.
SELECT
    l.lane,
    greatest(
        (l.unemitted ->> 'at')::bigint,
        (extract(epoch FROM max(s.caught_up_at)) * 1000)::bigint
    ) AS at_ms
FROM lanes AS l LEFT JOIN source_offsets AS s ON s.partition = l.lane
GROUP BY l.lane;

-- name: skip_batches
-- Go on behind the batch that Kafka knows, with a new epoch: it is emitted, nothing is left to do.
-- Only where the lane still stands where it was found.
UPDATE lanes AS l
SET batch = p.published, epoch = l.epoch + 1, unemitted = '{"ranges":{},"dead_letters":[]}'
FROM unnest($1::integer[], $2::bigint[], $3::bigint[]) AS p (lane, stored, published)
WHERE l.lane = p.lane AND l.batch = p.stored
RETURNING l.lane;

-- name: lift_heads
-- Lift every head above what was published of its organization and by a margin, and keep which
-- numbers that skips.
WITH published AS (
    SELECT * FROM unnest($1::text[], $2::bigint[]) AS p (org_id, seq)
), lifted AS (
    SELECT
        coalesce(p.org_id, h.org_id) AS org_id,
        coalesce(h.last_seq, 0) AS old_seq,
        greatest(coalesce(p.seq, 0), coalesce(h.last_seq, 0)) + $3 AS new_seq
    FROM published AS p FULL JOIN org_heads AS h ON h.org_id = p.org_id
), gaps AS (
    INSERT INTO seq_gaps (org_id, seqs, reason)
    SELECT org_id, int8multirange(int8range(old_seq + 1, new_seq, '[]')), $4
    FROM lifted WHERE new_seq > old_seq
    RETURNING org_id
)
INSERT INTO org_heads AS h (org_id, last_seq)
SELECT l.org_id, l.new_seq FROM lifted AS l JOIN gaps USING (org_id)
ORDER BY l.org_id COLLATE "C"
ON CONFLICT (org_id) DO UPDATE SET last_seq = excluded.last_seq
RETURNING org_id, last_seq;

-- name: lock_lanes
-- No lane stores a batch meanwhile.
SELECT lane FROM lanes ORDER BY lane FOR UPDATE;

-- name: fence_lane
-- Whoever holds the lane takes it over again, and finds its new positions.
UPDATE lanes SET epoch = epoch + 1 WHERE lane = $1;

-- name: close_partition
-- Keep where the log was left that is not there any more ...
INSERT INTO source_gaps (topic, partition, from_offset, to_offset, reason)
VALUES ($1, $2, $3, $4, $5);

-- name: reopen_partition
-- ... and shift the books: the counts stay, the offsets are those of the log that is there. Only
-- where the partition still stands where it was found.
UPDATE source_offsets
SET stored_through = $4, first_offset = $4 - (stored_through - first_offset), caught_up_at = NULL
WHERE topic = $1 AND partition = $2 AND stored_through = $3;

-- name: letters
-- Those of a partition's records that are dead letters.
SELECT r."offset"
FROM unnest($3::bigint[], $4::timestamptz[]) AS r ("offset", recorded_at)
JOIN dead_letters AS d
    ON d.topic = $1 AND d.partition = $2
    AND d."offset" = r."offset" AND d.recorded_at = r.recorded_at;
