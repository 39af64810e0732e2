-- Where each lane stands, and the books.

-- One row per lane. The owner's epoch fences every earlier owner; unemitted lists what the batch
-- stored: per organization first and last seq, and the coordinates of its dead letters.
CREATE TABLE lanes (
    lane integer PRIMARY KEY,
    epoch bigint NOT NULL,
    batch bigint NOT NULL DEFAULT 0,
    unemitted json NOT NULL DEFAULT '{"ranges":{},"dead_letters":[]}'
) WITH (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 500,
    autovacuum_vacuum_cost_delay = 0
);

-- How far each raw partition is stored, and how each of its offsets ended. The database itself
-- refuses a batch after which the books would not balance.
CREATE TABLE source_offsets (
    topic text NOT NULL,
    partition integer NOT NULL,
    first_offset bigint NOT NULL,
    stored_through bigint NOT NULL,
    entries bigint NOT NULL DEFAULT 0,
    duplicates bigint NOT NULL DEFAULT 0,
    discards bigint NOT NULL DEFAULT 0,
    dead_letters bigint NOT NULL DEFAULT 0,
    offset_holes bigint NOT NULL DEFAULT 0,
    caught_up_at timestamptz,
    PRIMARY KEY (topic, partition),
    CONSTRAINT books_balance CHECK (
        stored_through - first_offset
        = entries + duplicates + discards + dead_letters + offset_holes
    )
) WITH (
    fillfactor = 50,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 500,
    autovacuum_vacuum_cost_delay = 0
);
COMMENT ON COLUMN source_offsets.stored_through IS 'the next offset to read';

-- Offsets that were gone from the bus before they were read; their count is in offset_holes.
CREATE TABLE source_gaps (
    topic text NOT NULL,
    partition integer NOT NULL,
    from_offset bigint NOT NULL,
    to_offset bigint NOT NULL,
    reason text NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON COLUMN source_gaps.to_offset IS 'the first offset that is there again';

-- The proof that nothing was lost: for every raw partition, every offset is accounted for.
CREATE VIEW books AS
SELECT
    topic, partition, first_offset, stored_through,
    entries, duplicates, discards, dead_letters, offset_holes, caught_up_at,
    stored_through - first_offset AS passed,
    entries + duplicates + discards + dead_letters + offset_holes AS accounted,
    stored_through - first_offset
    = entries + duplicates + discards + dead_letters + offset_holes AS balanced
FROM source_offsets;

-- Whose database this is: one environment, one consumer group.
CREATE TABLE identity (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    environment text NOT NULL,
    consumer_group text NOT NULL
);

GRANT SELECT, INSERT, UPDATE ON lanes, source_offsets TO hub_audit_writer;
GRANT SELECT, INSERT ON source_gaps, identity TO hub_audit_writer;
GRANT SELECT ON books TO hub_audit_writer;
GRANT SELECT ON source_offsets, source_gaps, books, identity TO hub_audit_reader;
