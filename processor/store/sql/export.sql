-- Exports: pages of the log, newest first. /*where*/ is the translated query over audit_entries AS
-- e; its parameters come after those of the statement itself: a window of time, the key before
-- which to go on, the highest sequence number, how many.

-- name: csv_page
-- The lines of the next entries as one text put together by the server, and where the last stands.
-- In $7 are the characters no cell may begin with: an apostrophe goes before them.
-- The page is in order already, and the aggregates take it as it comes: sorting it once more cost a
-- sixth of the export, keeping it in between a tenth.
SELECT
    count(*) AS rows,
    string_agg(line, '') AS lines,
    min(occurred_at) AS occurred_at,
    (array_agg(entry_id))[count(*)] AS entry_id,
    min(seq) AS first_seq,
    max(seq) AS last_seq
FROM (
    SELECT e.occurred_at, e.entry_id, e.seq, /*cells*/ AS line
    FROM audit_entries AS e /*context*/
    WHERE e.occurred_at >= $1 AND e.occurred_at < $2
    AND (e.occurred_at, e.entry_id) < ($3, $4::uuid) AND e.seq <= $5 AND /*where*/
    ORDER BY e.occurred_at DESC, e.entry_id DESC
    LIMIT $6
) AS page;

-- name: json_page
-- The next entries.
SELECT /*columns*/
FROM audit_entries AS e
WHERE e.occurred_at >= $1 AND e.occurred_at < $2
AND (e.occurred_at, e.entry_id) < ($3, $4::uuid) AND e.seq <= $5 AND /*where*/
ORDER BY e.occurred_at DESC, e.entry_id DESC
LIMIT $6;
