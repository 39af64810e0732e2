"""The tests' own databases: migrated, empty, and nobody else's."""

import psycopg


def test_database_is_migrated_and_empty(postgres_dsn: str) -> None:
    """A test finds the tables and nothing in them, and may write as it likes."""
    with psycopg.connect(postgres_dsn) as connection:
        assert connection.execute("SELECT count(*) FROM audit_entries").fetchone() == (0,)
        connection.execute("CREATE TABLE mine ()")


def test_database_is_not_shared(postgres_dsn: str, empty_postgres_dsn: str) -> None:
    """What one test makes, no other sees."""
    find = "SELECT to_regclass('mine'), to_regclass('audit_entries')"
    with psycopg.connect(postgres_dsn) as connection:
        assert connection.execute(find).fetchone() == (None, "audit_entries")
    with psycopg.connect(empty_postgres_dsn) as connection:
        assert connection.execute(find).fetchone() == (None, None)
