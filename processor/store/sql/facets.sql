-- What the entries found come to. /*where*/ is the translated query, over audit_entries AS e; its
-- parameters come after those of the statement itself.

-- name: facets
-- How often each value occurs in a window of time, per field its commonest ones, and whether there
-- may be others; the fields in the order of their grouping sets.
WITH grouped AS (
    SELECT
        g.facet,
        CASE g.facet
            WHEN 0 THEN g.category
            WHEN 1 THEN g.action
            WHEN 2 THEN g.outcome
            WHEN 3 THEN g.actor
            WHEN 4 THEN g.target_type
            ELSE host(g.ip)
        END AS value,
        g.count
    FROM (
        SELECT
            e.category, e.action, e.outcome, coalesce(e.actor_email, e.actor_id) AS actor,
            e.target_type, e.ip, count(*) AS count,
            CASE
                WHEN grouping(e.category) = 0 THEN 0
                WHEN grouping(e.action) = 0 THEN 1
                WHEN grouping(e.outcome) = 0 THEN 2
                WHEN grouping(coalesce(e.actor_email, e.actor_id)) = 0 THEN 3
                WHEN grouping(e.target_type) = 0 THEN 4
                ELSE 5
            END AS facet
        FROM audit_entries AS e
        WHERE e.occurred_at >= $1 AND e.occurred_at < $2 AND /*where*/
        GROUP BY GROUPING SETS (
            (e.category), (e.action), (e.outcome), (coalesce(e.actor_email, e.actor_id)),
            (e.target_type), (e.ip)
        )
    ) AS g
), ranked AS (
    SELECT *, row_number() OVER (PARTITION BY facet ORDER BY count DESC, value) AS place
    FROM grouped
    WHERE value IS NOT NULL
)
SELECT facet, value, count, count(*) OVER (PARTITION BY facet) = 200 AS cut
FROM ranked WHERE place <= 200;

-- name: histogram
-- How many entries of a window of time lie in each bar; bars begin at $3 and are $4 wide.
SELECT
    floor(extract(epoch FROM e.occurred_at - $3) / extract(epoch FROM $4::interval))::integer,
    count(*)
FROM audit_entries AS e
WHERE e.occurred_at >= $1 AND e.occurred_at < $2 AND /*where*/
GROUP BY 1;

-- name: summarized
-- The days between two, both included, of which there are summaries; the newest first.
SELECT day FROM sealed_days WHERE sealing IS NOT NULL AND day BETWEEN $1 AND $2 ORDER BY day DESC;

-- name: hold
-- For the length of the transaction no day is exchanged: its summary and what came after it fit.
LOCK TABLE ONLY audit_entries IN ACCESS SHARE MODE;

-- name: summed_facets
-- The same as facets, of whole days that are summed up, without what came after their sealing; a
-- field is cut where a day's summary is full of its values.
WITH summed AS (
    SELECT s.facets, s.texts, s.counts
    FROM sealed_days AS d
    JOIN day_summaries AS s ON s.day = d.day AND s.sealing = d.sealing
    WHERE s.org_id = $1 AND s.day = ANY($2::date[])
)
SELECT
    v.facet, v.value, sum(v.count),
    v.facet = ANY(ARRAY(
        SELECT f.facet FROM generate_series(0, 5) AS f (facet)
        WHERE EXISTS (
            SELECT FROM summed AS s
            WHERE cardinality(array_positions(s.facets, f.facet::smallint)) = 200
        )
    )) AS cut
FROM summed AS s
CROSS JOIN LATERAL unnest(s.facets, s.texts, s.counts) AS v (facet, value, count)
GROUP BY v.facet, v.value;

-- name: summed_histogram
-- The same as histogram, of such days; bars begin at full hours and are full hours wide.
SELECT
    floor(
        extract(epoch FROM (s.day + make_interval(hours => v.hour)) AT TIME ZONE 'UTC' - $3)
        / extract(epoch FROM $4::interval)
    )::integer AS bar,
    sum(v.count)
FROM sealed_days AS d
JOIN day_summaries AS s ON s.day = d.day AND s.sealing = d.sealing
CROSS JOIN LATERAL unnest(s.hours, s.hour_counts) AS v (hour, count)
WHERE s.org_id = $1 AND s.day = ANY($2::date[])
GROUP BY bar;
