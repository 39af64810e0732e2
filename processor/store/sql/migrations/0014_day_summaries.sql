-- What the entries of a sealed day come to, per organization: how many in each hour, and how often
-- each value occurs. Counting 90 days without a condition then reads 90 rows. Hub Audit's own
-- entries are not in it, nor are those that came after the sealing (search_text is null).
CREATE TABLE day_summaries (
    day date NOT NULL,
    org_id text COLLATE "C" NOT NULL,
    sealing bigint NOT NULL,
    hours smallint[] NOT NULL,
    hour_counts integer[] NOT NULL,
    facets smallint[] NOT NULL,
    texts text[] NOT NULL,
    counts integer[] NOT NULL,
    PRIMARY KEY (day, org_id, sealing)
);
COMMENT ON COLUMN day_summaries.facets IS 'numbers of the fields, beside their values and counts';

ALTER TABLE day_summaries ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own_organization ON day_summaries
USING (org_id = nullif(current_setting('app.org_id', true), ''));
GRANT SELECT ON day_summaries TO hub_audit_reader;

-- Which sealing of a day is the one that is read: the exchange makes its summaries count.
CREATE SEQUENCE sealings;
ALTER TABLE sealed_days ADD COLUMN sealing bigint;
