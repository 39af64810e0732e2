-- What maintainers leave to one another and to those after them, in one row.
CREATE TABLE maintenance (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    sealing_rests_until timestamptz
);
COMMENT ON COLUMN maintenance.sealing_rests_until IS 'after a copy for which there was no room';
INSERT INTO maintenance DEFAULT VALUES;
