-- What the read side asks. /*where*/ is the translated query, over audit_entries AS e; its
-- parameters come after those of the statement itself.

-- name: read_as
-- From here to the end of the transaction: one organization, nothing written, and a plan for the
-- very values that are asked for (a plan for any value took 8 s where this one takes 7 ms).
SELECT
    set_config('app.org_id', $1, true),
    set_config('transaction_read_only', 'on', true),
    set_config('plan_cache_mode', 'force_custom_plan', true),
    set_config('statement_timeout', $2, true);

-- name: now
-- One clock for all that is compared with what is stored.
SELECT now();

-- name: page
-- The newest entries before a key, within a window of time that ends no later than the key.
SELECT /*columns*/
FROM audit_entries AS e
WHERE e.occurred_at >= $1 AND e.occurred_at < $2
AND (e.occurred_at, e.entry_id) < ($3, $4::uuid) AND /*where*/
ORDER BY e.occurred_at DESC, e.entry_id DESC
LIMIT $5;

-- name: newer
-- What was stored after a sequence number, up to another, in the order in which it was.
SELECT /*columns*/
FROM audit_entries AS e
WHERE e.seq > $1 AND e.seq <= $2 AND /*where*/
ORDER BY e.seq
LIMIT $3;

-- name: entry
-- One entry by its key.
SELECT /*columns*/
FROM audit_entries AS e
WHERE e.org_id = $1 AND e.occurred_at = $2 AND e.entry_id = $3;
