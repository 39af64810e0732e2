-- Whoever works as the forwarder's role looks first whose database it is, as all others do.
GRANT SELECT ON identity TO hub_audit_forwarder;
