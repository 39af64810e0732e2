-- The audit entries, their sequence numbers, and the day partitions.

-- One row per audit entry. The primary key is the entry's identity (the key that finds upstream
-- duplicates) and the newest-first read index in one. Wide fixed columns first: no padding.
CREATE TABLE audit_entries (
    seq bigint NOT NULL,
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL,
    source_offset bigint NOT NULL,
    entry_id uuid NOT NULL,
    source_partition integer NOT NULL,
    severity smallint NOT NULL,
    org_id text COLLATE "C" NOT NULL,
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
    PRIMARY KEY (org_id, occurred_at, entry_id)
) PARTITION BY RANGE (occurred_at);
COMMENT ON COLUMN audit_entries.details IS 'as rendered: json keeps its text, jsonb would not';
COMMENT ON COLUMN audit_entries.context IS 'the fields of the entry that have no column';

-- The last sequence number given out, per organization; its row lock makes seq gapless.
CREATE TABLE org_heads (
    org_id text COLLATE "C" PRIMARY KEY,
    last_seq bigint NOT NULL
) WITH (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0
);

-- Sequence numbers that no reader will find, and why: purged by retention, or skipped by recover.
CREATE TABLE seq_gaps (
    org_id text COLLATE "C" NOT NULL,
    seqs int8multirange NOT NULL,
    reason text NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX seq_gaps_org_id ON seq_gaps (org_id);

-- The day partitions that take rows; the day stands in the last eight characters of the name.
CREATE VIEW partition_days AS
SELECT p.relname::text AS parent, to_date(right(c.relname, 8), 'YYYYMMDD') AS day
FROM pg_catalog.pg_inherits AS i
JOIN pg_catalog.pg_class AS c ON c.oid = i.inhrelid
JOIN pg_catalog.pg_class AS p ON p.oid = i.inhparent
WHERE p.relkind = 'p' AND NOT i.inhdetachpending
AND p.relnamespace = 'public'::regnamespace;

-- Create the missing day partitions of one table, first to last inclusive; return the new days.
-- Attached as finished tables: that takes no lock that a writer would wait for. A table of that
-- name that is no partition any more (detached, about to be dropped) is left alone.
CREATE FUNCTION ensure_days(parent text, first date, last date) RETURNS SETOF date
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
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
REVOKE ALL ON FUNCTION ensure_days FROM PUBLIC;

-- An organization sees its own rows; without app.org_id nobody sees any.
ALTER TABLE audit_entries ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own_organization ON audit_entries
USING (org_id = nullif(current_setting('app.org_id', true), ''));
ALTER TABLE org_heads ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own_organization ON org_heads
USING (org_id = nullif(current_setting('app.org_id', true), ''));
ALTER TABLE seq_gaps ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own_organization ON seq_gaps
USING (org_id = nullif(current_setting('app.org_id', true), ''));

-- Grants on the parent only: the leaves are out of everybody's direct reach.
GRANT SELECT, INSERT ON audit_entries TO hub_audit_writer;
GRANT SELECT, INSERT, UPDATE ON org_heads TO hub_audit_writer;
GRANT SELECT ON seq_gaps, partition_days TO hub_audit_writer;
GRANT EXECUTE ON FUNCTION ensure_days TO hub_audit_writer;
GRANT SELECT ON audit_entries, org_heads, seq_gaps, partition_days TO hub_audit_reader;
