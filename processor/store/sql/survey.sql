-- What doctor asks, beside the books.

-- name: owner
-- Whose database this is; no row while it is nobody's.
SELECT environment, consumer_group FROM identity;

-- name: lanes
-- The batch number of each lane.
SELECT lane, batch FROM lanes ORDER BY lane;

-- name: heads
-- Every organization's last number.
SELECT org_id, last_seq FROM org_heads ORDER BY org_id;

-- name: newest
-- Where entries of the last days came in: a sample, to find those that came by another lane.
SELECT org_id, source_partition FROM audit_entries
WHERE occurred_at >= now() - interval '2 days'
LIMIT $1;

-- name: today
-- The database's idea of the day.
SELECT (now() AT TIME ZONE 'UTC')::date;

-- name: server
-- What the server is, and whether it keeps what it acknowledged.
SELECT current_setting('server_version_num')::integer AS version,
    current_setting('fsync') AS fsync,
    current_setting('full_page_writes') AS full_page_writes,
    current_setting('server_encoding') AS encoding,
    current_setting('max_locks_per_transaction')::integer
    * (
        current_setting('max_connections')::integer
        + current_setting('max_prepared_transactions')::integer
    ) AS locks;

-- name: folds
-- Whether it knows the case of letters beyond ASCII, which a search does not mind.
SELECT lower('Ä') = 'ä';

-- name: gaps
-- Offsets that the bus lost before they were stored.
SELECT coalesce(sum(to_offset - from_offset), 0)::bigint AS offsets FROM source_gaps
WHERE to_offset > from_offset;

-- name: recent_gaps
-- Of these, those that were found within the last hour.
SELECT coalesce(sum(to_offset - from_offset), 0)::bigint AS offsets FROM source_gaps
WHERE to_offset > from_offset AND at > now() - interval '1 hour';

-- name: clock
-- What the server's clock says.
SELECT extract(epoch FROM clock_timestamp())::double precision;

-- name: roles
-- Those of the roles as which the one who asks may not work.
SELECT r.rolname FROM pg_roles AS r
WHERE r.rolname = ANY ($1::text[]) AND NOT pg_has_role(r.oid, 'MEMBER')
ORDER BY 1;

-- name: as_forwarder
-- Become the role that sees all subscriptions.
SET ROLE hub_audit_forwarder;
