-- The session of a maintainer.

-- name: lock
-- One maintainer at a time; the lock is the session's and goes with it.
SELECT pg_try_advisory_lock(hashtext('hub_audit.maintain'));

-- name: unlock
-- Let another one work.
SELECT pg_advisory_unlock(hashtext('hub_audit.maintain'));

-- name: now
-- The one clock.
SELECT now();

-- name: see_all
-- Not to see too little: row security that applies to us is an error, not fewer rows.
SELECT set_config('row_security', 'off', false);

-- name: idle_at_most
-- A maintainer that is frozen must not keep the others from working.
SELECT set_config('idle_session_timeout', $1, false);

-- name: sign_of_life
-- Whoever says anything at all is not idle.
SELECT 1;
