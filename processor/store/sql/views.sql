-- Saved views.

-- name: listed
-- Those of a person and those of their whole organization.
SELECT owner = '' AS shared, name, query FROM saved_views
WHERE org_id = $1 AND owner IN ('', $2)
ORDER BY name, owner;

-- name: save
-- Keep a query under a name, in place of another one; nothing happens when there are too many.
INSERT INTO saved_views (org_id, owner, name, query)
SELECT $1, $2, $3, $4
WHERE (SELECT count(*) FROM saved_views WHERE org_id = $1 AND owner = $2 AND name <> $3) < $5
ON CONFLICT (org_id, owner, name) DO UPDATE SET query = excluded.query
RETURNING name;

-- name: forget
-- Keep it no more.
DELETE FROM saved_views WHERE org_id = $1 AND owner = $2 AND name = $3 RETURNING name;
