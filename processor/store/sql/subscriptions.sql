-- SIEM subscriptions: which there are, what is new for them, and who forwards which shard.

-- name: of_shard
-- The subscriptions of a shard that are not paused, each with the last number of its organization.
SELECT s.*, coalesce(h.last_seq, 0) AS last_seq
FROM subscriptions AS s LEFT JOIN org_heads AS h USING (org_id)
WHERE s.shard = $1 AND NOT s.paused
ORDER BY s.org_id, s.format;

-- name: states
-- How many subscriptions there are, by state.
SELECT
    count(*) FILTER (WHERE NOT s.paused AND s.error IS NULL) AS active,
    count(*) FILTER (WHERE s.paused) AS paused,
    count(*) FILTER (WHERE NOT s.paused AND s.error IS NOT NULL) AS failing
FROM subscriptions AS s;

-- name: entries_after
-- The next entries of several organizations, each from a place of its own on.
SELECT r.place, e.*
FROM unnest($1::integer[], $2::text[], $3::bigint[], $4::bigint[])
AS r (place, org_id, after_seq, through_seq)
CROSS JOIN LATERAL (
    SELECT * FROM audit_entries AS a
    WHERE a.org_id = r.org_id AND a.seq > r.after_seq AND a.seq <= r.through_seq
    ORDER BY a.seq LIMIT $5
) AS e
ORDER BY r.place, e.seq;

-- name: gaps
-- The numbers within a range that no entry has any more, and why.
SELECT lower(r) AS first_seq, upper(r) - 1 AS last_seq, g.reason
FROM seq_gaps AS g
CROSS JOIN LATERAL unnest(g.seqs * int8multirange(int8range($2, $3, '[]'))) AS r
WHERE g.org_id = $1
ORDER BY 1;

-- name: delivered
-- Note how far subscriptions have come. A replay or test that is done is taken off the list.
UPDATE subscriptions AS s
SET
    forwarded_through = greatest(s.forwarded_through, d.forwarded),
    told_through = greatest(s.told_through, d.told),
    delivered_at = CASE WHEN d.sent THEN now() ELSE s.delivered_at END,
    error = NULL, error_at = NULL,
    replayed_through = CASE
        WHEN s.replay_id = d.replay_id THEN d.replayed ELSE s.replayed_through
    END,
    replay_id = CASE WHEN s.replay_id = d.replay_done THEN NULL ELSE s.replay_id END,
    test_id = CASE WHEN s.test_id = d.test_done THEN NULL ELSE s.test_id END
FROM unnest(
    $1::uuid[], $2::bigint[], $3::bigint[], $4::boolean[], $5::uuid[], $6::bigint[], $7::uuid[],
    $8::uuid[]
)
AS d (id, forwarded, told, sent, replay_id, replayed, replay_done, test_done)
WHERE s.id = d.id;

-- name: failed
-- Note why a subscription cannot be served.
UPDATE subscriptions
SET error = $2, error_at = CASE WHEN error = $2 THEN error_at ELSE now() END
WHERE id = $1;

-- name: register
-- Say that a forwarder is there, and forget those that have not been for long.
WITH forgotten AS (DELETE FROM forwarders WHERE seen_at < now() - interval '1 hour')
INSERT INTO forwarders (instance, seen_at) VALUES ($1, now())
ON CONFLICT (instance) DO UPDATE SET seen_at = excluded.seen_at;

-- name: unregister
-- Say that a forwarder leaves, and give back what it holds.
WITH gone AS (DELETE FROM forwarders WHERE instance = $1)
UPDATE forward_shards SET owner = NULL, lease_until = '-infinity' WHERE owner = $1;

-- name: alive
-- How many forwarders there are, and how many shards.
SELECT
    (SELECT count(*) FROM forwarders WHERE seen_at > now() - $1::interval) AS forwarders,
    (SELECT count(*) FROM forward_shards) AS shards;

-- name: renew
-- Keep the shards that are ours, up to a number; return them.
UPDATE forward_shards SET lease_until = now() + $2::interval
WHERE shard IN (
    SELECT shard FROM forward_shards WHERE owner = $1 AND lease_until > now()
    ORDER BY shard LIMIT $3
)
RETURNING shard;

-- name: claim
-- Take shards that nobody holds, up to a number; return them.
UPDATE forward_shards SET owner = $1, lease_until = now() + $2::interval
WHERE shard IN (
    SELECT shard FROM forward_shards WHERE lease_until <= now()
    ORDER BY shard LIMIT $3 FOR UPDATE SKIP LOCKED
)
RETURNING shard;

-- name: release
-- Give shards back at once.
UPDATE forward_shards SET owner = NULL, lease_until = '-infinity'
WHERE owner = $1 AND shard = ANY($2::integer[]);

-- name: create
-- A new subscription, from the next entry on; nothing when there is one of this format already.
INSERT INTO subscriptions (org_id, format, shard, filter, access, forwarded_through, told_through)
SELECT $1, $2, ($3::bigint % (SELECT count(*) FROM forward_shards))::integer, $4, $5, h.seq, h.seq
FROM (SELECT coalesce((SELECT last_seq FROM org_heads WHERE org_id = $1), 0) AS seq) AS h
ON CONFLICT DO NOTHING
RETURNING org_id, format;

-- name: listed
-- The subscriptions of an organization, or of all.
SELECT s.*, coalesce(h.last_seq, 0) AS last_seq
FROM subscriptions AS s LEFT JOIN org_heads AS h USING (org_id)
WHERE $1::text IS NULL OR s.org_id = $1
ORDER BY s.org_id, s.format;

-- name: pause
-- Stop, keeping the place, or go on from it.
UPDATE subscriptions SET paused = $3, error = NULL, error_at = NULL
WHERE org_id = $1 AND format = $2 RETURNING format;

-- name: replay
-- Ask for entries again: those above one number and up to another, the latest by default.
UPDATE subscriptions
SET replay_id = gen_random_uuid(), replay_after = $3, replayed_through = $3,
    replay_through = least(forwarded_through, coalesce($4, forwarded_through))
WHERE org_id = $1 AND format = $2 RETURNING replay_through;

-- name: last_seq
-- The last number given out.
SELECT last_seq FROM org_heads WHERE org_id = $1;

-- name: recorded_after
-- The entry that follows a number, and when it was recorded.
SELECT seq, recorded_at FROM audit_entries WHERE org_id = $1 AND seq > $2 ORDER BY seq LIMIT 1;

-- name: stray
-- The lowest number of some below a given one that was recorded from an instant on.
SELECT min(seq) FROM audit_entries
WHERE org_id = $1 AND seq > $2::bigint - $3::bigint AND seq <= $2 AND recorded_at >= $4;

-- name: test
-- Ask for a test event.
UPDATE subscriptions SET test_id = gen_random_uuid()
WHERE org_id = $1 AND format = $2 RETURNING test_id;

-- name: delete
-- End a subscription.
DELETE FROM subscriptions WHERE id = $1 RETURNING format;

-- name: matched
-- Whether an entry of the last so many days would have passed a filter.
SELECT EXISTS (
    SELECT FROM audit_entries AS e
    WHERE e.org_id = $1 AND e.occurred_at > now() - $2::interval AND e.severity >= $6
    AND (cardinality($3::text[]) = 0 OR e.action = ANY($3::text[]))
    AND (cardinality($4::text[]) = 0 OR e.category = ANY($4::text[]))
    AND (cardinality($5::text[]) = 0 OR e.outcome = ANY($5::text[]))
);

-- name: forwarding
-- Whether any forwarder has said lately that it is there.
SELECT EXISTS (SELECT FROM forwarders WHERE seen_at > now() - $1::interval);
