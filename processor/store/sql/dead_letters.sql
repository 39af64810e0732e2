-- Reading the dead letters.

-- name: by_coordinates
-- The dead letters of a batch, and before them what else was recorded at these coordinates.
SELECT d.* FROM unnest($1::text[], $2::integer[], $3::bigint[]) AS c (topic, partition, "offset")
JOIN dead_letters AS d
    ON d.topic = c.topic AND d.partition = c.partition AND d."offset" = c."offset"
ORDER BY d.recorded_at, d.topic, d.partition, d."offset";

-- name: listed
-- The newest dead letters, filtered; a null filter lets everything pass.
SELECT d.* FROM dead_letters AS d
WHERE ($1::text IS NULL OR d.reason = $1)
AND ($2::text IS NULL OR d.topic = $2)
AND ($3::timestamptz IS NULL OR d.recorded_at >= $3)
AND (NOT $4 OR d.redriven_at IS NULL)
ORDER BY d.recorded_at DESC, d.topic, d.partition, d."offset"
LIMIT $5;

-- name: counted
-- How many dead letters there are, by reason.
SELECT reason, count(*) AS dead_letters, count(redriven_at) AS redriven
FROM dead_letters GROUP BY reason ORDER BY dead_letters DESC, reason;
