-- The five group roles. They are cluster-wide and carry no login: an administrator grants them to
-- login users (GRANT hub_audit_writer TO app_user). BYPASSRLS needs a superuser, and is needed
-- because COPY FROM is refused on a table whose row-level security applies to the role.
DO $$
DECLARE
    wanted text[];
BEGIN
    FOREACH wanted SLICE 1 IN ARRAY ARRAY[
        ['hub_audit_owner', 'NOLOGIN'],
        ['hub_audit_writer', 'NOLOGIN BYPASSRLS'],
        ['hub_audit_reader', 'NOLOGIN'],
        ['hub_audit_forwarder', 'NOLOGIN BYPASSRLS'],
        ['hub_audit_maintenance', 'NOLOGIN BYPASSRLS']
    ] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted[1]) THEN
            BEGIN
                EXECUTE format('CREATE ROLE %I %s', wanted[1], wanted[2]);
            EXCEPTION WHEN duplicate_object OR unique_violation THEN
                NULL;  -- another migration of this cluster was faster
            END;
        END IF;
    END LOOP;
    -- Detaching and dropping a partition takes ownership.
    IF NOT EXISTS (
        SELECT FROM pg_auth_members
        WHERE roleid = 'hub_audit_owner'::regrole AND member = 'hub_audit_maintenance'::regrole
    ) THEN
        BEGIN
            GRANT hub_audit_owner TO hub_audit_maintenance;
        EXCEPTION WHEN unique_violation THEN
            NULL;
        END;
    END IF;
END
$$;
