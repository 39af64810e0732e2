-- Sealed days: rewritten in the order in which they are read, with search text beside every entry.

-- What is searched of an entry beside its columns. Its text is the strings of the rendered entry
-- and every value within its details, in lower case, one to a line; but not our own identifier and
-- checksum, in which nearly any short word of hexadecimal digits occurs ("ada"): search compares
-- those itself. The rest is what else actors and targets are looked up by. All in one row, so that
-- the JSON is taken apart once; and in a row, not a value, because then the planner puts it into
-- the query, which spares a third of the work. The collation of org_id would be that of the whole
-- text: in "C" only A to Z have a lower case.
CREATE FUNCTION entry_search(e audit_entries) RETURNS TABLE (
    search_text text, behalf_id text, behalf_email text, target_email text, target_name text
) LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 AS $$
SELECT lower(concat_ws(
    E'\n',
    e.org_id, e.category, e.action, e.outcome,
    to_char(e.occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
    to_char(e.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
    e.actor_type, e.actor_id, e.actor_email, e.target_type, e.target_id,
    host(e.ip), e.session_id, e.request_id, e.correlation_id, e.source_topic,
    (
        SELECT string_agg(v #>> '{}', E'\n')
        FROM jsonb_path_query(e.details::jsonb, 'strict $.**') AS v
        WHERE jsonb_typeof(v) NOT IN ('object', 'array')
    ),
    c.org_name, c.outcome_reason, c.ip_raw, c.user_agent, c.trace_id, c.span_id,
    c.actor_name, c.actor_on_behalf_of ->> 'id', c.actor_on_behalf_of ->> 'email',
    c.target_name, c.target_email, c.service, c.event_type, c.event_id, c.occurred_at_quality,
    c.normalizer
) COLLATE "default"),
c.actor_on_behalf_of ->> 'id', c.actor_on_behalf_of ->> 'email', c.target_email,
lower(c.target_name)
FROM json_to_record(e.context) AS c (
    org_name text, outcome_reason text, ip_raw text, user_agent text, trace_id text, span_id text,
    actor_name text, actor_on_behalf_of json, target_name text, target_email text, service text,
    event_type text, event_id text, occurred_at_quality text, normalizer text
)
$$;

-- The text alone. A sealed row keeps it; of every other row it is computed:
-- coalesce(e.search_text, (SELECT t FROM entry_search_text(e) AS t)).
CREATE FUNCTION entry_search_text(e audit_entries) RETURNS SETOF text
LANGUAGE sql STABLE PARALLEL SAFE ROWS 1 AS $$ SELECT s.search_text FROM entry_search(e) AS s $$;

-- The same as a value, for where brevity counts more.
CREATE FUNCTION entry_text(e audit_entries) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE AS $$ SELECT t FROM entry_search_text(e) AS t $$;

-- Null until the day is sealed, and of what arrives afterwards. The writer does not name it.
ALTER TABLE audit_entries ADD COLUMN search_text text;
COMMENT ON COLUMN audit_entries.search_text IS 'entry_text of the row, written by sealing';

-- The days whose partition was rewritten, and how many entries it held then.
CREATE TABLE sealed_days (
    day date PRIMARY KEY,
    sealed_at timestamptz NOT NULL DEFAULT now(),
    entries bigint NOT NULL
);

-- What retention removed, to be told to the organizations on raw.audit. It is written in the
-- transaction that drops the day, and announced afterwards, as often as it takes.
CREATE TABLE purges (
    day date NOT NULL,
    org_id text COLLATE "C" NOT NULL,
    entries bigint NOT NULL,
    first_seq bigint NOT NULL,
    last_seq bigint NOT NULL,
    purged_at timestamptz NOT NULL DEFAULT now(),
    announced_at timestamptz,
    PRIMARY KEY (day, org_id, purged_at)
);
CREATE INDEX purges_unannounced ON purges (purged_at) WHERE announced_at IS NULL;
ALTER TABLE purges ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own_organization ON purges
USING (org_id = nullif(current_setting('app.org_id', true), ''));

REVOKE ALL ON FUNCTION entry_search, entry_search_text, entry_text FROM PUBLIC;
GRANT EXECUTE ON FUNCTION entry_search, entry_search_text, entry_text
TO hub_audit_reader, hub_audit_maintenance;
GRANT SELECT ON sealed_days TO hub_audit_writer, hub_audit_reader;
