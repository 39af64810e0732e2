-- What Defend found, what it rests on, and who took note of it.

-- name: told
-- What the rules need of the entries of some actions in each of several spans of time: a page after
-- a key in each. Every row that is not needed whole is spared the way: the sets of an hour are
-- begun again at each rebalance, and this is most of what that takes.
SELECT
    w.number, e.occurred_at, e.entry_id,
    (extract(epoch FROM e.occurred_at) * 1000)::bigint AS at_ms,
    e.entry_id::text AS id,
    e.seq,
    e.action,
    coalesce(e.actor_email, e.actor_id, e.context ->> 'actor_name', '') AS actor,
    e.actor_type,
    coalesce(e.context ->> 'target_email', e.target_id, '') AS account,
    coalesce(host(e.ip), '') AS address,
    concat_ws(
        ' ', e.target_type, coalesce(e.target_id, ''),
        coalesce(e.details #>> '{grantee,id}', e.details #>> '{role,id}', '')
    ) AS thing,
    e.outcome,
    coalesce((e.details #> '{extra,new_device}')::text = 'true', FALSE) AS new_device,
    coalesce((e.details #> '{extra,mfa}')::text = 'true', FALSE) AS mfa,
    coalesce((e.details #> '{new,permissions}')::text NOT IN ('null', '[]'), FALSE) AS given
FROM unnest($1::integer[], $2::text[], $3::timestamptz[], $4::uuid[], $5::timestamptz[])
    AS w (number, org_id, since, after_id, until)
CROSS JOIN LATERAL (
    SELECT * FROM audit_entries AS a
    WHERE a.org_id = w.org_id AND (a.occurred_at, a.entry_id) > (w.since, w.after_id)
        AND a.occurred_at >= w.since AND a.occurred_at < w.until AND a.action = ANY($6::text[])
        AND a.recorded_at - a.occurred_at <= $7::interval
    ORDER BY a.occurred_at, a.entry_id
    LIMIT $8
) AS e;

-- name: alerts
-- The endpoint alerts in each of several spans of time.
SELECT w.number, a.report, (extract(epoch FROM a.told_at) * 1000)::bigint AS told_ms
FROM unnest($1::integer[], $2::text[], $3::timestamptz[], $4::timestamptz[])
    AS w (number, org_id, since, until)
INNER JOIN endpoint_alerts AS a
    ON a.org_id = w.org_id AND a.occurred_at >= w.since AND a.occurred_at < w.until;

-- name: keep_alerts
-- Keep alerts; the same one again changes nothing. Of one that is sent with different verdicts the
-- worse stays, and of several as bad one of them, whichever comes first.
INSERT INTO endpoint_alerts AS a (org_id, occurred_at, alert_id, told_at, report)
SELECT DISTINCT ON (n.org_id, n.occurred_at, n.alert_id) n.*
FROM unnest($1::text[], $2::timestamptz[], $3::text[], $4::timestamptz[], $5::json[])
    AS n (org_id, occurred_at, alert_id, told_at, report)
ORDER BY
    n.org_id, n.occurred_at, n.alert_id,
    (n.report ->> 'verdict') IS DISTINCT FROM 'malicious', n.report::text COLLATE "C"
ON CONFLICT (org_id, occurred_at, alert_id) DO UPDATE SET
    told_at = excluded.told_at,
    report = excluded.report
WHERE
    ((excluded.report ->> 'verdict') IS DISTINCT FROM 'malicious', excluded.report::text COLLATE "C")
    < ((a.report ->> 'verdict') IS DISTINCT FROM 'malicious', a.report::text COLLATE "C");

-- name: keep
-- Keep what was found. What is known of it already stays: it only ever grows, whoever finds it.
-- Who took note of it has not taken note of one that is worse, even if nothing was added.
INSERT INTO findings AS f (
    org_id, finding_id, rule, severity, subject_type, subject, hour, first_at, last_at,
    actors, addresses, seqs, alerts
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (org_id, finding_id) DO UPDATE SET
    version = f.version + 1,
    changed_at = now(),
    severity = greatest(f.severity, excluded.severity),
    acknowledged_evidence = CASE
        WHEN f.severity < excluded.severity THEN 0 ELSE f.acknowledged_evidence
    END,
    first_at = least(f.first_at, excluded.first_at),
    last_at = greatest(f.last_at, excluded.last_at),
    actors = ARRAY(
        SELECT DISTINCT n.name COLLATE "C" FROM unnest(f.actors || excluded.actors) AS n (name)
        ORDER BY 1 LIMIT $14
    ),
    addresses = ARRAY(
        SELECT DISTINCT n.name COLLATE "C"
        FROM unnest(f.addresses || excluded.addresses) AS n (name)
        ORDER BY 1 LIMIT $14
    ),
    seqs = ARRAY(SELECT DISTINCT u.seq FROM unnest(f.seqs || excluded.seqs) AS u (seq) ORDER BY 1),
    alerts = ARRAY(
        SELECT DISTINCT u.id COLLATE "C" FROM unnest(f.alerts || excluded.alerts) AS u (id)
        ORDER BY 1
    )
WHERE NOT (f.seqs @> excluded.seqs AND f.alerts @> excluded.alerts)
    OR f.severity < excluded.severity;

-- name: publisher
-- One publishes at a time, until its transaction ends: another would send the same.
SELECT pg_try_advisory_xact_lock(hashtext('hub_audit.defend.publish'));

-- name: unpublished
-- What the topic lacks, the oldest change first. No row is locked: a topic may take long, and what
-- changes meanwhile is another version.
SELECT /*finding*/ FROM findings AS f
WHERE f.published_version < f.version
ORDER BY f.changed_at
LIMIT $1;

-- name: lacking
-- How many the topic lacks.
SELECT count(*) FROM findings AS f WHERE f.published_version < f.version;

-- name: published
-- The topic has these versions. Their rows are locked in the order in which they are kept: another
-- worker may be at that.
WITH noted AS MATERIALIZED (
    SELECT f.org_id, f.finding_id, p.version
    FROM unnest($1::text[], $2::uuid[], $3::bigint[]) AS p (org_id, finding_id, version)
    JOIN findings AS f ON f.org_id = p.org_id AND f.finding_id = p.finding_id
    ORDER BY f.org_id, f.finding_id
    FOR UPDATE OF f
)
UPDATE findings AS f SET published_version = greatest(f.published_version, n.version)
FROM noted AS n WHERE f.org_id = n.org_id AND f.finding_id = n.finding_id;

-- name: forget
-- What is older than entries are kept goes.
WITH gone AS (DELETE FROM endpoint_alerts WHERE occurred_at < now() - $1::interval)
DELETE FROM findings WHERE last_at < now() - $1::interval;

-- name: listed
-- An organization's findings, the latest first: of a status, a severity or a rule, before a key.
SELECT /*finding*/ FROM findings AS f
WHERE f.org_id = $1
    AND ($2::boolean IS NULL OR $2 = (
        f.acknowledged_at IS NOT NULL
        AND f.acknowledged_evidence >= cardinality(f.seqs) + cardinality(f.alerts)
    ))
    AND ($3::smallint IS NULL OR f.severity = $3)
    AND ($4::text IS NULL OR f.rule = $4)
    AND ($5::timestamptz IS NULL OR (f.last_at, f.finding_id) < ($5, $6::uuid))
    AND ($7::timestamptz IS NULL OR f.last_at >= $7)
    AND ($8::timestamptz IS NULL OR f.last_at < $8)
ORDER BY f.last_at DESC, f.finding_id DESC
LIMIT $9;

-- name: one
-- One finding.
SELECT /*finding*/ FROM findings AS f WHERE f.org_id = $1 AND f.finding_id = $2;

-- name: alerts_of
-- The reports that a finding rests on.
SELECT a.report FROM endpoint_alerts AS a
WHERE a.org_id = $1 AND a.alert_id = ANY($2::text[]) AND a.occurred_at BETWEEN $3 AND $4
ORDER BY a.occurred_at, a.alert_id LIMIT 100;

-- name: acknowledge
-- Somebody took note of a finding as it was with so much evidence, or else as it is now.
UPDATE findings AS f SET
    acknowledged_at = now(),
    acknowledged_by = $3,
    acknowledged_evidence = least($4, cardinality(f.seqs) + cardinality(f.alerts)),
    version = f.version + 1,
    changed_at = now()
WHERE f.org_id = $1 AND f.finding_id = $2
RETURNING /*finding*/;

-- name: open_by_severity
-- How many open findings there are of each severity.
SELECT f.severity, count(*) FROM findings AS f
WHERE f.org_id = $1 AND NOT (
    f.acknowledged_at IS NOT NULL
    AND f.acknowledged_evidence >= cardinality(f.seqs) + cardinality(f.alerts)
)
GROUP BY f.severity;

-- name: timeline
-- How many findings of each severity end in each of several equal stretches of time.
SELECT
    floor(extract(epoch FROM f.last_at - $2::timestamptz) / $4::float)::integer AS bar,
    f.severity, count(*) AS findings
FROM findings AS f
WHERE f.org_id = $1 AND f.last_at >= $2 AND f.last_at < $3::timestamptz
GROUP BY 1, 2;

-- name: top
-- Who and which addresses are in most findings of a period, and how bad the worst of them is.
SELECT t.kind, t.name, count(*) AS findings, max(t.severity) AS severity
FROM (
    SELECT 'actor' AS kind, unnest(f.actors) AS name, f.severity
    FROM findings AS f WHERE f.org_id = $1 AND f.last_at >= $2 AND f.last_at < $3
    UNION ALL
    SELECT 'address' AS kind, unnest(f.addresses) AS name, f.severity
    FROM findings AS f WHERE f.org_id = $1 AND f.last_at >= $2 AND f.last_at < $3
) AS t
GROUP BY t.kind, t.name
ORDER BY max(t.severity) DESC, count(*) DESC, t.name
LIMIT 200;
