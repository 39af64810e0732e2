-- What else actors and targets are looked up by, on sealed days: copied from the JSON into columns
-- of their own, which can be indexed. Plain columns, because under row-level security Postgres
-- uses no index for a condition with a function in it, unless a superuser vouched for that.
ALTER TABLE audit_entries
ADD COLUMN search_behalf_id text,
ADD COLUMN search_behalf_email text,
ADD COLUMN search_target_email text,
ADD COLUMN search_target_name text;
COMMENT ON COLUMN audit_entries.search_target_name IS 'in lower case; like the other three written by sealing';
