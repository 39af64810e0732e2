-- Queries that people keep: of one person, or of a whole organization (owner is empty).

CREATE TABLE saved_views (
    org_id text COLLATE "C" NOT NULL,
    owner text NOT NULL,
    name text NOT NULL,
    query text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, owner, name)
);

ALTER TABLE saved_views ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own_organization ON saved_views
USING (org_id = nullif(current_setting('app.org_id', true), ''));

GRANT SELECT ON saved_views TO hub_audit_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON saved_views TO hub_audit_forwarder;
