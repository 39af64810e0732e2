-- What Defend found, and the endpoint alerts that it rests on.

-- version counts what changed; published_version follows what hub.defend.findings has. A finding
-- is acknowledged as long as it rests on no more than when somebody acknowledged it.
CREATE TABLE findings (
    org_id text COLLATE "C" NOT NULL,
    finding_id uuid NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    published_version bigint NOT NULL DEFAULT 0,
    rule text NOT NULL,
    severity smallint NOT NULL,
    subject_type text NOT NULL,
    subject text COLLATE "C" NOT NULL,
    hour timestamptz NOT NULL,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    actors text [] NOT NULL,
    addresses text [] NOT NULL,
    seqs bigint [] NOT NULL,
    alerts text [] NOT NULL,
    found_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now(),
    acknowledged_at timestamptz,
    acknowledged_by text,
    acknowledged_evidence integer,
    PRIMARY KEY (org_id, finding_id)
) WITH (fillfactor = 70);
CREATE INDEX findings_last_at ON findings (org_id, last_at DESC);
CREATE INDEX findings_unpublished ON findings (changed_at) WHERE published_version < version;

CREATE TABLE endpoint_alerts (
    org_id text COLLATE "C" NOT NULL,
    occurred_at timestamptz NOT NULL,
    alert_id text COLLATE "C" NOT NULL,
    told_at timestamptz NOT NULL,
    report json NOT NULL,
    PRIMARY KEY (org_id, occurred_at, alert_id)
);

ALTER TABLE findings ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own_organization ON findings
USING (org_id = nullif(current_setting('app.org_id', true), ''));
ALTER TABLE endpoint_alerts ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own_organization ON endpoint_alerts
USING (org_id = nullif(current_setting('app.org_id', true), ''));

GRANT SELECT ON findings, endpoint_alerts TO hub_audit_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON findings, endpoint_alerts TO hub_audit_forwarder;
