-- The log by sequence number.

-- name: head
-- The last number given out.
SELECT last_seq FROM org_heads WHERE org_id = $1;

-- name: feed
-- What follows a number, up to the head as it was read before.
SELECT /*columns*/
FROM audit_entries AS e
WHERE e.org_id = $1 AND e.seq > $2 AND e.seq <= $3
ORDER BY e.seq
LIMIT $4;

-- name: gaps
-- Numbers behind a given one that no entry has, and why.
SELECT greatest(lower(r.seqs), $2::bigint + 1) AS first_seq, upper(r.seqs) - 1 AS last_seq, g.reason
FROM seq_gaps AS g, unnest(g.seqs) AS r (seqs)
WHERE g.org_id = $1 AND upper(r.seqs) - 1 > $2::bigint
ORDER BY 1;

-- name: days
-- What each day holds.
SELECT
    (e.occurred_at AT TIME ZONE 'UTC')::date AS day, count(*) AS entries,
    min(e.seq) AS first_seq, max(e.seq) AS last_seq
FROM audit_entries AS e
WHERE e.org_id = $1 AND e.seq <= $2
GROUP BY 1
ORDER BY 1;

-- name: seqs
-- How many entries stand under each range of numbers.
SELECT
    r.number * $3::bigint + 1 AS first_seq,
    least((r.number + 1) * $3::bigint, $2::bigint) AS last_seq,
    r.entries
FROM (
    SELECT (e.seq - 1) / $3::bigint AS number, count(*) AS entries
    FROM audit_entries AS e
    WHERE e.org_id = $1 AND e.seq <= $2::bigint
    GROUP BY 1
) AS r
ORDER BY 1;

-- name: completeness
-- The moment up to which every partition of the topics that are read was read to its end; null
-- while one never was. A topic that is not read any more stays in the books.
SELECT CASE WHEN bool_and(caught_up_at IS NOT NULL) THEN min(caught_up_at) END
FROM source_offsets WHERE topic = ANY($1::text[]);
