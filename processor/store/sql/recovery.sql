-- What `hub-audit recover` does when the database lost commits that were published already.

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
UPDATE lanes AS l
SET batch = p.batch, epoch = l.epoch + 1, unemitted = '{"ranges":{},"dead_letters":[]}'
FROM unnest($1::integer[], $2::bigint[]) AS p (lane, batch)
WHERE l.lane = p.lane AND l.batch < p.batch
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

-- name: close_partition
-- The topic was created anew: keep where the old one was left ...
INSERT INTO source_gaps (topic, partition, from_offset, to_offset, reason)
SELECT topic, partition, stored_through, $3, $4
FROM source_offsets WHERE topic = $1 AND partition = $2;

-- name: reopen_partition
-- ... and shift the books: the counts stay, the offsets are those of the new one.
UPDATE source_offsets
SET stored_through = $3, first_offset = $3 - (stored_through - first_offset), caught_up_at = NULL
WHERE topic = $1 AND partition = $2;
