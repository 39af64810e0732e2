-- The retention that days were kept by last; a shorter one takes effect by an order alone.
ALTER TABLE maintenance ADD COLUMN retention_days integer;
COMMENT ON COLUMN maintenance.retention_days IS 'null until the first round';
