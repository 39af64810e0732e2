-- The login users of Hub Audit's processes, each in the group roles that its process works as.
--
-- Run once, as a superuser, after the first `hub-audit migrate` of a superuser has made the roles,
-- or before any: then roles.sql, too, has to be run first. Passwords are set apart from this:
--   psql -v ON_ERROR_STOP=1 -f deploy/postgres/logins.sql
--   psql -c "\password hub_audit_process"        and so on
CREATE ROLE hub_audit_process LOGIN IN ROLE hub_audit_writer;
CREATE ROLE hub_audit_serve LOGIN IN ROLE hub_audit_reader, hub_audit_forwarder;
CREATE ROLE hub_audit_forward LOGIN IN ROLE hub_audit_forwarder;
CREATE ROLE hub_audit_defend LOGIN IN ROLE hub_audit_forwarder;
CREATE ROLE hub_audit_maintain LOGIN IN ROLE hub_audit_maintenance;
-- migrate, doctor, recover, redrive, subscriptions, export: it owns the tables. Row-level security
-- holds for it as well; as one of the roles without (SET ROLE) it sees all rows. The last two let it
-- see and end the sessions of the others.
CREATE ROLE hub_audit_operator LOGIN IN ROLE
    hub_audit_owner, hub_audit_writer, hub_audit_reader, hub_audit_forwarder, hub_audit_maintenance,
    pg_read_all_stats, pg_signal_backend;
