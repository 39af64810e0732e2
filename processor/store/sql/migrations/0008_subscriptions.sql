-- SIEM subscriptions, and who forwards them.

-- forwarded_through: every entry up to it was considered; told_through: the last sequence number
-- that the subscriber was told of. Both follow what Kafka has committed and never lead it.
CREATE TABLE subscriptions (
    org_id text COLLATE "C" NOT NULL,
    format text NOT NULL,
    shard integer NOT NULL,
    filter json NOT NULL,
    paused boolean NOT NULL DEFAULT false,
    forwarded_through bigint NOT NULL,
    told_through bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    delivered_at timestamptz,
    error text,
    error_at timestamptz,
    replay_id uuid,
    replay_after bigint,
    replay_through bigint,
    test_id uuid,
    PRIMARY KEY (org_id, format)
) WITH (fillfactor = 50);
CREATE INDEX subscriptions_shard ON subscriptions (shard);

-- A shard of subscriptions has one transactional id, and one forwarder for as long as it renews its
-- lease. That a frozen one cannot go on is not the lease's doing but the transactional id's.
CREATE TABLE forward_shards (
    shard integer PRIMARY KEY,
    owner uuid,
    lease_until timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 50);
INSERT INTO forward_shards (shard) SELECT generate_series(0, 7);

CREATE TABLE forwarders (
    instance uuid PRIMARY KEY,
    seen_at timestamptz NOT NULL
) WITH (fillfactor = 50);

ALTER TABLE subscriptions ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own_organization ON subscriptions
USING (org_id = nullif(current_setting('app.org_id', true), ''));

GRANT SELECT ON subscriptions TO hub_audit_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON subscriptions, forwarders TO hub_audit_forwarder;
GRANT SELECT, UPDATE ON forward_shards TO hub_audit_forwarder;
GRANT SELECT ON audit_entries, org_heads, seq_gaps TO hub_audit_forwarder;
