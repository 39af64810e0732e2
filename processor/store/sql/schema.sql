-- What the migrations come to; a test compares the two in a database each. Read it, do not run it.
-- Made by pg_dump --schema-only --schema=public from a database to which the migrations alone were
-- applied (so without day partitions), less its comments and settings.

CREATE FUNCTION public.ensure_days(parent text, first date, last date) RETURNS SETOF date
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO 'public', 'pg_temp'
    AS $$
DECLARE
    new_day date;
    leaf text;
BEGIN
    IF parent NOT IN ('audit_entries', 'dead_letters') OR last - first > 1000 THEN
        RAISE EXCEPTION 'no day partitions for % from % to %', parent, first, last;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtext('hub_audit.ensure_days'));
    FOR new_day IN
        SELECT s::date FROM generate_series(first, last, interval '1 day') AS s
        EXCEPT SELECT d.day FROM partition_days AS d WHERE d.parent = ensure_days.parent
        ORDER BY 1
    LOOP
        leaf := parent || '_' || to_char(new_day, 'YYYYMMDD');
        CONTINUE WHEN to_regclass(leaf) IS NOT NULL;
        EXECUTE format(
            'CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE, '
            'CONSTRAINT %I PRIMARY KEY %s)',
            leaf, parent, leaf || '_pkey',
            (SELECT substring(pg_get_constraintdef(c.oid) FROM '\(.*\)') FROM pg_constraint AS c
             WHERE c.conrelid = parent::regclass AND c.contype = 'p')
        );
        IF parent = 'audit_entries' THEN
            -- On the parent it would need occurred_at and guard nothing.
            EXECUTE format(
                'ALTER TABLE %I ADD CONSTRAINT %I UNIQUE (org_id, seq)', leaf, leaf || '_seq_key');
        END IF;
        -- The parent's policy does not apply to a leaf that is read directly.
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', leaf);
        EXECUTE format(
            'CREATE POLICY own_organization ON %I '
            'USING (org_id = nullif(current_setting(''app.org_id'', true), ''''))', leaf);
        EXECUTE format(
            'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, leaf,
            new_day || ' 00:00:00+00', (new_day + 1) || ' 00:00:00+00');
        RETURN NEXT new_day;
    END LOOP;
END
$$;

ALTER FUNCTION public.ensure_days(parent text, first date, last date) OWNER TO hub_audit_owner;

CREATE TABLE public.audit_entries (
    seq bigint NOT NULL,
    occurred_at timestamp with time zone NOT NULL,
    recorded_at timestamp with time zone NOT NULL,
    source_offset bigint NOT NULL,
    entry_id uuid NOT NULL,
    source_partition integer NOT NULL,
    severity smallint NOT NULL,
    org_id text NOT NULL COLLATE pg_catalog."C",
    category text NOT NULL,
    action text NOT NULL,
    outcome text NOT NULL,
    actor_type text NOT NULL,
    target_type text NOT NULL,
    source_topic text NOT NULL,
    actor_id text,
    actor_email text,
    target_id text,
    ip inet,
    session_id text,
    request_id text,
    correlation_id text,
    details json NOT NULL,
    context json NOT NULL,
    search_text text,
    search_behalf_id text,
    search_behalf_email text,
    search_target_email text,
    search_target_name text
)
PARTITION BY RANGE (occurred_at);

ALTER TABLE ONLY public.audit_entries FORCE ROW LEVEL SECURITY;

ALTER TABLE public.audit_entries OWNER TO hub_audit_owner;

COMMENT ON COLUMN public.audit_entries.details IS 'as rendered: json keeps its text, jsonb would not';

COMMENT ON COLUMN public.audit_entries.context IS 'the fields of the entry that have no column';

COMMENT ON COLUMN public.audit_entries.search_text IS 'entry_text of the row, written by sealing';

COMMENT ON COLUMN public.audit_entries.search_target_name IS 'in lower case; like the other three written by sealing';

CREATE FUNCTION public.entry_search(e public.audit_entries) RETURNS TABLE(search_text text, behalf_id text, behalf_email text, target_email text, target_name text)
    LANGUAGE sql STABLE ROWS 1 PARALLEL SAFE
    AS $_$
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
$_$;

ALTER FUNCTION public.entry_search(e public.audit_entries) OWNER TO hub_audit_owner;

CREATE FUNCTION public.entry_search_text(e public.audit_entries) RETURNS SETOF text
    LANGUAGE sql STABLE ROWS 1 PARALLEL SAFE
    AS $$ SELECT s.search_text FROM entry_search(e) AS s $$;

ALTER FUNCTION public.entry_search_text(e public.audit_entries) OWNER TO hub_audit_owner;

CREATE FUNCTION public.entry_text(e public.audit_entries) RETURNS text
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$ SELECT t FROM entry_search_text(e) AS t $$;

ALTER FUNCTION public.entry_text(e public.audit_entries) OWNER TO hub_audit_owner;

CREATE TABLE public.source_offsets (
    topic text NOT NULL,
    partition integer NOT NULL,
    first_offset bigint NOT NULL,
    stored_through bigint NOT NULL,
    entries bigint DEFAULT 0 NOT NULL,
    duplicates bigint DEFAULT 0 NOT NULL,
    discards bigint DEFAULT 0 NOT NULL,
    dead_letters bigint DEFAULT 0 NOT NULL,
    offset_holes bigint DEFAULT 0 NOT NULL,
    caught_up_at timestamp with time zone,
    CONSTRAINT books_balance CHECK (((stored_through - first_offset) = ((((entries + duplicates) + discards) + dead_letters) + offset_holes)))
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='500', autovacuum_vacuum_cost_delay='0');

ALTER TABLE public.source_offsets OWNER TO hub_audit_owner;

COMMENT ON COLUMN public.source_offsets.stored_through IS 'the next offset to read';

CREATE VIEW public.books AS
 SELECT source_offsets.topic,
    source_offsets.partition,
    source_offsets.first_offset,
    source_offsets.stored_through,
    source_offsets.entries,
    source_offsets.duplicates,
    source_offsets.discards,
    source_offsets.dead_letters,
    source_offsets.offset_holes,
    source_offsets.caught_up_at,
    (source_offsets.stored_through - source_offsets.first_offset) AS passed,
    ((((source_offsets.entries + source_offsets.duplicates) + source_offsets.discards) + source_offsets.dead_letters) + source_offsets.offset_holes) AS accounted,
    ((source_offsets.stored_through - source_offsets.first_offset) = ((((source_offsets.entries + source_offsets.duplicates) + source_offsets.discards) + source_offsets.dead_letters) + source_offsets.offset_holes)) AS balanced
   FROM public.source_offsets;

ALTER TABLE public.books OWNER TO hub_audit_owner;

CREATE TABLE public.day_summaries (
    day date NOT NULL,
    org_id text NOT NULL COLLATE pg_catalog."C",
    sealing bigint NOT NULL,
    hours smallint[] NOT NULL,
    hour_counts integer[] NOT NULL,
    facets smallint[] NOT NULL,
    texts text[] NOT NULL,
    counts integer[] NOT NULL
);

ALTER TABLE ONLY public.day_summaries FORCE ROW LEVEL SECURITY;

ALTER TABLE public.day_summaries OWNER TO hub_audit_owner;

COMMENT ON COLUMN public.day_summaries.facets IS 'numbers of the fields, beside their values and counts';

CREATE TABLE public.dead_letters (
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    recorded_at timestamp with time zone NOT NULL,
    redriven_at timestamp with time zone,
    org_id text COLLATE pg_catalog."C",
    stage text NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL,
    key bytea,
    raw bytea,
    headers json NOT NULL
)
PARTITION BY RANGE (recorded_at);

ALTER TABLE ONLY public.dead_letters FORCE ROW LEVEL SECURITY;

ALTER TABLE public.dead_letters OWNER TO hub_audit_owner;

COMMENT ON COLUMN public.dead_letters.raw IS 'the record''s value; null is a tombstone';

COMMENT ON COLUMN public.dead_letters.headers IS 'array of [name, base64 or null], in order';

CREATE TABLE public.endpoint_alerts (
    org_id text NOT NULL COLLATE pg_catalog."C",
    occurred_at timestamp with time zone NOT NULL,
    alert_id text NOT NULL COLLATE pg_catalog."C",
    told_at timestamp with time zone NOT NULL,
    report json NOT NULL
);

ALTER TABLE ONLY public.endpoint_alerts FORCE ROW LEVEL SECURITY;

ALTER TABLE public.endpoint_alerts OWNER TO hub_audit_owner;

CREATE TABLE public.findings (
    org_id text NOT NULL COLLATE pg_catalog."C",
    finding_id uuid NOT NULL,
    version bigint DEFAULT 1 NOT NULL,
    published_version bigint DEFAULT 0 NOT NULL,
    rule text NOT NULL,
    severity smallint NOT NULL,
    subject_type text NOT NULL,
    subject text NOT NULL COLLATE pg_catalog."C",
    hour timestamp with time zone NOT NULL,
    first_at timestamp with time zone NOT NULL,
    last_at timestamp with time zone NOT NULL,
    actors text[] NOT NULL,
    addresses text[] NOT NULL,
    seqs bigint[] NOT NULL,
    alerts text[] NOT NULL,
    found_at timestamp with time zone DEFAULT now() NOT NULL,
    changed_at timestamp with time zone DEFAULT now() NOT NULL,
    acknowledged_at timestamp with time zone,
    acknowledged_by text,
    acknowledged_evidence integer
)
WITH (fillfactor='70');

ALTER TABLE ONLY public.findings FORCE ROW LEVEL SECURITY;

ALTER TABLE public.findings OWNER TO hub_audit_owner;

CREATE TABLE public.forward_shards (
    shard integer NOT NULL,
    owner uuid,
    lease_until timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL
)
WITH (fillfactor='50');

ALTER TABLE public.forward_shards OWNER TO hub_audit_owner;

CREATE TABLE public.forwarders (
    instance uuid NOT NULL,
    seen_at timestamp with time zone NOT NULL
)
WITH (fillfactor='50');

ALTER TABLE public.forwarders OWNER TO hub_audit_owner;

CREATE TABLE public.identity (
    singleton boolean DEFAULT true NOT NULL,
    environment text NOT NULL,
    consumer_group text NOT NULL,
    CONSTRAINT identity_singleton_check CHECK (singleton)
);

ALTER TABLE public.identity OWNER TO hub_audit_owner;

CREATE TABLE public.lanes (
    lane integer NOT NULL,
    epoch bigint NOT NULL,
    batch bigint DEFAULT 0 NOT NULL,
    unemitted json DEFAULT '{"ranges":{},"dead_letters":[]}'::json NOT NULL
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='500', autovacuum_vacuum_cost_delay='0');

ALTER TABLE public.lanes OWNER TO hub_audit_owner;

CREATE TABLE public.maintenance (
    singleton boolean DEFAULT true NOT NULL,
    sealing_rests_until timestamp with time zone,
    retention_days integer,
    CONSTRAINT maintenance_singleton_check CHECK (singleton)
);

ALTER TABLE public.maintenance OWNER TO hub_audit_owner;

COMMENT ON COLUMN public.maintenance.sealing_rests_until IS 'after a copy for which there was no room';

COMMENT ON COLUMN public.maintenance.retention_days IS 'null until the first round';

CREATE TABLE public.org_heads (
    org_id text NOT NULL COLLATE pg_catalog."C",
    last_seq bigint NOT NULL
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='1000', autovacuum_vacuum_cost_delay='0');

ALTER TABLE ONLY public.org_heads FORCE ROW LEVEL SECURITY;

ALTER TABLE public.org_heads OWNER TO hub_audit_owner;

CREATE VIEW public.partition_days AS
 SELECT (p.relname)::text AS parent,
    to_date("right"((c.relname)::text, 8), 'YYYYMMDD'::text) AS day
   FROM ((pg_inherits i
     JOIN pg_class c ON ((c.oid = i.inhrelid)))
     JOIN pg_class p ON ((p.oid = i.inhparent)))
  WHERE ((p.relkind = 'p'::"char") AND (NOT i.inhdetachpending) AND (p.relnamespace = ('public'::regnamespace)::oid));

ALTER TABLE public.partition_days OWNER TO hub_audit_owner;

CREATE TABLE public.purges (
    day date NOT NULL,
    org_id text NOT NULL COLLATE pg_catalog."C",
    entries bigint NOT NULL,
    first_seq bigint NOT NULL,
    last_seq bigint NOT NULL,
    purged_at timestamp with time zone DEFAULT now() NOT NULL,
    announced_at timestamp with time zone
);

ALTER TABLE ONLY public.purges FORCE ROW LEVEL SECURITY;

ALTER TABLE public.purges OWNER TO hub_audit_owner;

CREATE TABLE public.saved_views (
    org_id text NOT NULL COLLATE pg_catalog."C",
    owner text NOT NULL,
    name text NOT NULL,
    query text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE ONLY public.saved_views FORCE ROW LEVEL SECURITY;

ALTER TABLE public.saved_views OWNER TO hub_audit_owner;

CREATE TABLE public.schema_migrations (
    name text NOT NULL,
    sha256 text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE public.schema_migrations OWNER TO hub_audit_owner;

CREATE TABLE public.sealed_days (
    day date NOT NULL,
    sealed_at timestamp with time zone DEFAULT now() NOT NULL,
    entries bigint NOT NULL,
    sealing bigint
);

ALTER TABLE public.sealed_days OWNER TO hub_audit_owner;

CREATE SEQUENCE public.sealings
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER TABLE public.sealings OWNER TO hub_audit_owner;

CREATE TABLE public.seq_gaps (
    org_id text NOT NULL COLLATE pg_catalog."C",
    seqs int8multirange NOT NULL,
    reason text NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE ONLY public.seq_gaps FORCE ROW LEVEL SECURITY;

ALTER TABLE public.seq_gaps OWNER TO hub_audit_owner;

CREATE TABLE public.service_tokens (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    org_id text NOT NULL COLLATE pg_catalog."C",
    name text NOT NULL,
    sha256 bytea NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    revoked_at timestamp with time zone,
    last_used_at timestamp with time zone
);

ALTER TABLE ONLY public.service_tokens FORCE ROW LEVEL SECURITY;

ALTER TABLE public.service_tokens OWNER TO hub_audit_owner;

CREATE TABLE public.source_gaps (
    topic text NOT NULL,
    partition integer NOT NULL,
    from_offset bigint NOT NULL,
    to_offset bigint NOT NULL,
    reason text NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE public.source_gaps OWNER TO hub_audit_owner;

COMMENT ON COLUMN public.source_gaps.to_offset IS 'the first offset that is there again';

CREATE TABLE public.subscriptions (
    org_id text NOT NULL COLLATE pg_catalog."C",
    format text NOT NULL,
    shard integer NOT NULL,
    filter json NOT NULL,
    paused boolean DEFAULT false NOT NULL,
    forwarded_through bigint NOT NULL,
    told_through bigint NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    delivered_at timestamp with time zone,
    error text,
    error_at timestamp with time zone,
    replay_id uuid,
    replay_after bigint,
    replay_through bigint,
    test_id uuid,
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    access text DEFAULT 'unknown'::text NOT NULL,
    replayed_through bigint,
    CONSTRAINT subscriptions_access CHECK ((access = ANY (ARRAY['set'::text, 'open'::text, 'by_hand'::text, 'unknown'::text])))
)
WITH (fillfactor='50');

ALTER TABLE ONLY public.subscriptions FORCE ROW LEVEL SECURITY;

ALTER TABLE public.subscriptions OWNER TO hub_audit_owner;

ALTER TABLE ONLY public.audit_entries
    ADD CONSTRAINT audit_entries_pkey PRIMARY KEY (org_id, occurred_at, entry_id);

ALTER TABLE ONLY public.day_summaries
    ADD CONSTRAINT day_summaries_pkey PRIMARY KEY (day, org_id, sealing);

ALTER TABLE ONLY public.dead_letters
    ADD CONSTRAINT dead_letters_pkey PRIMARY KEY (topic, partition, "offset", recorded_at);

ALTER TABLE ONLY public.endpoint_alerts
    ADD CONSTRAINT endpoint_alerts_pkey PRIMARY KEY (org_id, occurred_at, alert_id);

ALTER TABLE ONLY public.findings
    ADD CONSTRAINT findings_pkey PRIMARY KEY (org_id, finding_id);

ALTER TABLE ONLY public.forward_shards
    ADD CONSTRAINT forward_shards_pkey PRIMARY KEY (shard);

ALTER TABLE ONLY public.forwarders
    ADD CONSTRAINT forwarders_pkey PRIMARY KEY (instance);

ALTER TABLE ONLY public.identity
    ADD CONSTRAINT identity_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY public.lanes
    ADD CONSTRAINT lanes_pkey PRIMARY KEY (lane);

ALTER TABLE ONLY public.maintenance
    ADD CONSTRAINT maintenance_pkey PRIMARY KEY (singleton);

ALTER TABLE ONLY public.org_heads
    ADD CONSTRAINT org_heads_pkey PRIMARY KEY (org_id);

ALTER TABLE ONLY public.purges
    ADD CONSTRAINT purges_pkey PRIMARY KEY (day, org_id, purged_at);

ALTER TABLE ONLY public.saved_views
    ADD CONSTRAINT saved_views_pkey PRIMARY KEY (org_id, owner, name);

ALTER TABLE ONLY public.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.sealed_days
    ADD CONSTRAINT sealed_days_pkey PRIMARY KEY (day);

ALTER TABLE ONLY public.service_tokens
    ADD CONSTRAINT service_tokens_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.service_tokens
    ADD CONSTRAINT service_tokens_sha256_key UNIQUE (sha256);

ALTER TABLE ONLY public.source_offsets
    ADD CONSTRAINT source_offsets_pkey PRIMARY KEY (topic, partition);

ALTER TABLE ONLY public.subscriptions
    ADD CONSTRAINT subscriptions_pkey PRIMARY KEY (org_id, format);

CREATE INDEX findings_last_at ON public.findings USING btree (org_id, last_at DESC);

CREATE INDEX findings_unpublished ON public.findings USING btree (changed_at) WHERE (published_version < version);

CREATE INDEX purges_unannounced ON public.purges USING btree (purged_at) WHERE (announced_at IS NULL);

CREATE INDEX seq_gaps_org_id ON public.seq_gaps USING btree (org_id);

CREATE INDEX service_tokens_org_id ON public.service_tokens USING btree (org_id);

CREATE INDEX subscriptions_shard ON public.subscriptions USING btree (shard);

ALTER TABLE public.audit_entries ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.day_summaries ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.dead_letters ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.endpoint_alerts ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.findings ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.org_heads ENABLE ROW LEVEL SECURITY;

CREATE POLICY own_organization ON public.audit_entries USING ((org_id = NULLIF(current_setting('app.org_id'::text, true), ''::text)));

CREATE POLICY own_organization ON public.day_summaries USING ((org_id = NULLIF(current_setting('app.org_id'::text, true), ''::text)));

CREATE POLICY own_organization ON public.dead_letters USING ((org_id = NULLIF(current_setting('app.org_id'::text, true), ''::text)));

CREATE POLICY own_organization ON public.endpoint_alerts USING ((org_id = NULLIF(current_setting('app.org_id'::text, true), ''::text)));

CREATE POLICY own_organization ON public.findings USING ((org_id = NULLIF(current_setting('app.org_id'::text, true), ''::text)));

CREATE POLICY own_organization ON public.org_heads USING ((org_id = NULLIF(current_setting('app.org_id'::text, true), ''::text)));

CREATE POLICY own_organization ON public.purges USING ((org_id = NULLIF(current_setting('app.org_id'::text, true), ''::text)));

CREATE POLICY own_organization ON public.saved_views USING ((org_id = NULLIF(current_setting('app.org_id'::text, true), ''::text)));

CREATE POLICY own_organization ON public.seq_gaps USING ((org_id = NULLIF(current_setting('app.org_id'::text, true), ''::text)));

CREATE POLICY own_organization ON public.service_tokens USING ((org_id = NULLIF(current_setting('app.org_id'::text, true), ''::text)));

CREATE POLICY own_organization ON public.subscriptions USING ((org_id = NULLIF(current_setting('app.org_id'::text, true), ''::text)));

ALTER TABLE public.purges ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.saved_views ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.seq_gaps ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.service_tokens ENABLE ROW LEVEL SECURITY;

ALTER TABLE public.subscriptions ENABLE ROW LEVEL SECURITY;

REVOKE ALL ON FUNCTION public.ensure_days(parent text, first date, last date) FROM PUBLIC;
GRANT ALL ON FUNCTION public.ensure_days(parent text, first date, last date) TO hub_audit_writer;

GRANT SELECT,INSERT ON TABLE public.audit_entries TO hub_audit_writer;
GRANT SELECT ON TABLE public.audit_entries TO hub_audit_reader;
GRANT SELECT ON TABLE public.audit_entries TO hub_audit_forwarder;

REVOKE ALL ON FUNCTION public.entry_search(e public.audit_entries) FROM PUBLIC;
GRANT ALL ON FUNCTION public.entry_search(e public.audit_entries) TO hub_audit_reader;
GRANT ALL ON FUNCTION public.entry_search(e public.audit_entries) TO hub_audit_maintenance;

REVOKE ALL ON FUNCTION public.entry_search_text(e public.audit_entries) FROM PUBLIC;
GRANT ALL ON FUNCTION public.entry_search_text(e public.audit_entries) TO hub_audit_reader;
GRANT ALL ON FUNCTION public.entry_search_text(e public.audit_entries) TO hub_audit_maintenance;

REVOKE ALL ON FUNCTION public.entry_text(e public.audit_entries) FROM PUBLIC;
GRANT ALL ON FUNCTION public.entry_text(e public.audit_entries) TO hub_audit_reader;
GRANT ALL ON FUNCTION public.entry_text(e public.audit_entries) TO hub_audit_maintenance;

GRANT SELECT,INSERT,UPDATE ON TABLE public.source_offsets TO hub_audit_writer;
GRANT SELECT ON TABLE public.source_offsets TO hub_audit_reader;

GRANT SELECT ON TABLE public.books TO hub_audit_writer;
GRANT SELECT ON TABLE public.books TO hub_audit_reader;

GRANT SELECT ON TABLE public.day_summaries TO hub_audit_reader;

GRANT SELECT,INSERT ON TABLE public.dead_letters TO hub_audit_writer;

GRANT UPDATE(redriven_at) ON TABLE public.dead_letters TO hub_audit_writer;

GRANT SELECT ON TABLE public.endpoint_alerts TO hub_audit_reader;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.endpoint_alerts TO hub_audit_forwarder;

GRANT SELECT ON TABLE public.findings TO hub_audit_reader;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.findings TO hub_audit_forwarder;

GRANT SELECT,UPDATE ON TABLE public.forward_shards TO hub_audit_forwarder;

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.forwarders TO hub_audit_forwarder;

GRANT SELECT,INSERT ON TABLE public.identity TO hub_audit_writer;
GRANT SELECT ON TABLE public.identity TO hub_audit_reader;
GRANT SELECT ON TABLE public.identity TO hub_audit_forwarder;

GRANT SELECT,INSERT,UPDATE ON TABLE public.lanes TO hub_audit_writer;

GRANT SELECT,INSERT,UPDATE ON TABLE public.org_heads TO hub_audit_writer;
GRANT SELECT ON TABLE public.org_heads TO hub_audit_reader;
GRANT SELECT ON TABLE public.org_heads TO hub_audit_forwarder;

GRANT SELECT ON TABLE public.partition_days TO hub_audit_writer;
GRANT SELECT ON TABLE public.partition_days TO hub_audit_reader;

GRANT SELECT ON TABLE public.saved_views TO hub_audit_reader;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.saved_views TO hub_audit_forwarder;

GRANT SELECT ON TABLE public.schema_migrations TO hub_audit_writer;
GRANT SELECT ON TABLE public.schema_migrations TO hub_audit_reader;
GRANT SELECT ON TABLE public.schema_migrations TO hub_audit_maintenance;

GRANT SELECT ON TABLE public.sealed_days TO hub_audit_writer;
GRANT SELECT ON TABLE public.sealed_days TO hub_audit_reader;

GRANT SELECT ON TABLE public.seq_gaps TO hub_audit_writer;
GRANT SELECT ON TABLE public.seq_gaps TO hub_audit_reader;
GRANT SELECT ON TABLE public.seq_gaps TO hub_audit_forwarder;

GRANT SELECT ON TABLE public.service_tokens TO hub_audit_reader;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.service_tokens TO hub_audit_forwarder;

GRANT SELECT,INSERT ON TABLE public.source_gaps TO hub_audit_writer;
GRANT SELECT ON TABLE public.source_gaps TO hub_audit_reader;

GRANT SELECT ON TABLE public.subscriptions TO hub_audit_reader;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.subscriptions TO hub_audit_forwarder;
