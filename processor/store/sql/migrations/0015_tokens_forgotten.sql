-- Tokens that ended long ago are forgotten by whoever makes new ones.

GRANT DELETE ON service_tokens TO hub_audit_forwarder;
