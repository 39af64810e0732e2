-- Tokens of programs: made, used, listed, revoked.

-- name: create
-- A new token of an organization, unless it has so many in force; what ended long ago is forgotten.
WITH forgotten AS (
    DELETE FROM service_tokens
    WHERE org_id = $1 AND least(expires_at, revoked_at) < now() - $6::interval
)
INSERT INTO service_tokens (id, org_id, name, sha256, expires_at)
SELECT coalesce($7::uuid, gen_random_uuid()), $1, $2, $3, now() + $4::interval
WHERE (
    SELECT count(*) FROM service_tokens
    WHERE org_id = $1 AND revoked_at IS NULL AND expires_at > now()
) < $5
RETURNING id, org_id, name, created_at, expires_at, revoked_at, last_used_at;

-- name: use
-- Whose token has this hash; a use is noted once a minute.
WITH found AS (
    SELECT * FROM service_tokens
    WHERE sha256 = $1 AND revoked_at IS NULL AND expires_at > now()
), noted AS (
    UPDATE service_tokens AS t SET last_used_at = now() FROM found AS f
    WHERE t.id = f.id AND coalesce(f.last_used_at, '-infinity') < now() - interval '1 minute'
)
SELECT id, org_id, name, created_at, expires_at, revoked_at, last_used_at FROM found;

-- name: listed
-- The tokens of an organization, the newest first: those in force, and the newest of the others.
SELECT * FROM (
    SELECT id, org_id, name, created_at, expires_at, revoked_at, last_used_at
    FROM service_tokens WHERE org_id = $1
    ORDER BY revoked_at IS NULL AND expires_at > now() DESC, created_at DESC
    LIMIT $2
) AS t
ORDER BY created_at DESC, id;

-- name: revoke
-- A token is not taken any more from now on.
UPDATE service_tokens SET revoked_at = now()
WHERE org_id = $1 AND id = $2 AND revoked_at IS NULL RETURNING id;

-- name: rotate
-- A token in the place of another one, which goes on for a while and no longer; as with any new
-- one, unless so many are in force, among which the other counts for as long as it goes on.
WITH forgotten AS (
    DELETE FROM service_tokens
    WHERE org_id = $1 AND least(expires_at, revoked_at) < now() - $7::interval
), replaced AS (
    UPDATE service_tokens SET expires_at = least(expires_at, now() + $5::interval)
    WHERE org_id = $1 AND id = $2 AND revoked_at IS NULL AND expires_at > now() AND (
        SELECT count(*) FROM service_tokens
        WHERE org_id = $1 AND revoked_at IS NULL AND expires_at > now()
        AND (id <> $2 OR $5::interval > interval '0')
    ) < $6
    RETURNING org_id, name
)
INSERT INTO service_tokens (id, org_id, name, sha256, expires_at)
SELECT coalesce($8::uuid, gen_random_uuid()), org_id, name, $3, now() + $4::interval FROM replaced
RETURNING id, org_id, name, created_at, expires_at, revoked_at, last_used_at;
