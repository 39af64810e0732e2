-- Reading the dead letters.

-- name: by_coordinates
-- The dead letters of a batch, and before them what else was recorded at these coordinates.
SELECT d.* FROM unnest($1::text[], $2::integer[], $3::bigint[]) AS c (topic, partition, "offset")
JOIN dead_letters AS d
    ON d.topic = c.topic AND d.partition = c.partition AND d."offset" = c."offset"
ORDER BY d.recorded_at, d.topic, d.partition, d."offset";

-- name: newest
-- The newest dead letters without their bytes, filtered; a null filter lets everything pass.
SELECT d.topic, d.partition, d."offset", d.recorded_at, d.redriven_at, d.org_id, d.stage, d.reason,
    d.detail, octet_length(d.raw) AS value_bytes,
    coalesce(octet_length(d.raw), 0) + coalesce(octet_length(d.key), 0)
    + octet_length(d.headers::text) AS bytes
FROM dead_letters AS d
WHERE ($1::text IS NULL OR d.reason = $1)
AND ($2::text IS NULL OR d.topic = $2)
AND ($3::timestamptz IS NULL OR d.recorded_at >= $3)
AND (NOT $4 OR d.redriven_at IS NULL)
ORDER BY d.recorded_at DESC, d.topic, d.partition, d."offset"
LIMIT $5;

-- name: page
-- The next dead letters without their bytes, filtered, behind a key and recorded up to a time. In
-- the order of the primary key, so that a page costs what is on it, however many there are.
SELECT d.topic, d.partition, d."offset", d.recorded_at, d.redriven_at, d.org_id, d.stage, d.reason,
    d.detail, octet_length(d.raw) AS value_bytes,
    coalesce(octet_length(d.raw), 0) + coalesce(octet_length(d.key), 0)
    + octet_length(d.headers::text) AS bytes
FROM dead_letters AS d
WHERE ($1::text IS NULL OR d.reason = $1)
AND ($2::text IS NULL OR d.topic = $2)
AND ($3::timestamptz IS NULL OR d.recorded_at >= $3)
AND (NOT $4 OR d.redriven_at IS NULL)
AND ($5::timestamptz IS NULL OR d.recorded_at <= $5)
AND (d.topic, d.partition, d."offset", d.recorded_at)
> ($6::text, $7::integer, $8::bigint, $9::timestamptz)
ORDER BY d.topic, d.partition, d."offset", d.recorded_at
LIMIT $10;

-- name: whole
-- The dead letters with these keys.
SELECT d.* FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::timestamptz[])
    AS k (topic, partition, "offset", recorded_at)
JOIN dead_letters AS d
    ON d.topic = k.topic AND d.partition = k.partition AND d."offset" = k."offset"
    AND d.recorded_at = k.recorded_at
ORDER BY d.topic, d.partition, d."offset", d.recorded_at;

-- name: matching
-- How many dead letters pass a filter.
SELECT count(*) FROM dead_letters AS d
WHERE ($1::text IS NULL OR d.reason = $1)
AND ($2::text IS NULL OR d.topic = $2)
AND ($3::timestamptz IS NULL OR d.recorded_at >= $3)
AND (NOT $4 OR d.redriven_at IS NULL);

-- name: counted
-- How many dead letters there are, by reason.
SELECT reason, count(*) AS dead_letters, count(redriven_at) AS redriven
FROM dead_letters GROUP BY reason ORDER BY dead_letters DESC, reason;
