"""Kafka and Postgres on this machine, for development, tests and the demo."""
