"""Hub Audit: raw events in, audit entries and canonical events out, each exactly once."""
