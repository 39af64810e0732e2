-- What doctor, metrics and start-up ask.

-- name: books
-- How every offset of every raw partition ended.
SELECT * FROM books ORDER BY topic, partition;

-- name: oldest_day
-- The oldest day that still takes entries.
SELECT min(day) FROM partition_days WHERE parent = 'audit_entries';

-- name: days
-- The days of one table.
SELECT day FROM partition_days WHERE parent = $1 ORDER BY day;

-- name: ensure_days
-- Create the missing days of one table.
SELECT ensure_days($1, $2, $3);

-- name: today
-- The database's idea of the day: the one clock that all processes share.
SELECT (now() AT TIME ZONE 'UTC')::date;

-- name: claim
-- Make the database ours if it is nobody's.
INSERT INTO identity (environment, consumer_group) VALUES ($1, $2) ON CONFLICT DO NOTHING;

-- name: owner
-- Whose database this is.
SELECT environment, consumer_group FROM identity;
