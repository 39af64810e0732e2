-- Rejected records, as they came, partitioned by the day the bus recorded them.
CREATE TABLE dead_letters (
    topic text NOT NULL,
    partition integer NOT NULL,
    "offset" bigint NOT NULL,
    recorded_at timestamptz NOT NULL,
    redriven_at timestamptz,
    org_id text COLLATE "C",
    stage text NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL,
    key bytea,
    raw bytea,
    headers json NOT NULL,
    PRIMARY KEY (topic, partition, "offset", recorded_at)
) PARTITION BY RANGE (recorded_at);
COMMENT ON COLUMN dead_letters.raw IS 'the record''s value; null is a tombstone';
COMMENT ON COLUMN dead_letters.headers IS 'array of [name, base64 or null], in order';

ALTER TABLE dead_letters ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own_organization ON dead_letters
USING (org_id = nullif(current_setting('app.org_id', true), ''));

GRANT SELECT, INSERT, UPDATE (redriven_at) ON dead_letters TO hub_audit_writer;
