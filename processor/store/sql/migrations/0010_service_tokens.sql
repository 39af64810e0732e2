-- Tokens of programs that read one organization's log; of a token only its hash is kept.

CREATE TABLE service_tokens (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    org_id text COLLATE "C" NOT NULL,
    name text NOT NULL,
    sha256 bytea NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    last_used_at timestamptz
);
CREATE INDEX service_tokens_org_id ON service_tokens (org_id);

ALTER TABLE service_tokens ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own_organization ON service_tokens
USING (org_id = nullif(current_setting('app.org_id', true), ''));

GRANT SELECT ON service_tokens TO hub_audit_reader;
GRANT SELECT, INSERT, UPDATE ON service_tokens TO hub_audit_forwarder;
