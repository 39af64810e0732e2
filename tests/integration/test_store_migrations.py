"""Migrations, the schema they come to, roles and tenancy, on a real Postgres."""

import asyncio
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from urllib.parse import urlsplit

import asyncpg
import psycopg
import pytest

from processor.errors import DatabaseOutage, StartRefused
from processor.store import migrations, rows
from processor.store.books import books, claim
from processor.store.partitions import DEAD_LETTERS, days, ensure_days, ensure_window, oldest_day
from processor.store.pool import FORWARDER, MAINTENANCE, READER, WRITER, Database
from processor.store.sql import migrations as all_migrations
from processor.store.sql import text
from tests.conftest import database, dsn_of
from tests.integration.store import NOW, TOPIC, StoringLane, an_entry, opened, query

LATEST = [name for name, _ in all_migrations()]
OWNER = "hub_audit_owner"
APART = (WRITER, READER, FORWARDER)
"""The roles that the processes work as, but for the one that keeps the store in order."""

# Everything that makes the schema, as text; leaves are made by function and left out.
CATALOG = """
WITH ours AS (
    SELECT c.* FROM pg_class AS c
    WHERE c.relnamespace = 'public'::regnamespace AND NOT c.relispartition
)
SELECT 'relation', relname, relkind::text, relrowsecurity::text, relforcerowsecurity::text,
    pg_get_userbyid(relowner), coalesce(reloptions::text, ''),
    (SELECT coalesce(string_agg(a::text, ' ' ORDER BY a::text), '') FROM unnest(relacl) AS a)
FROM ours
UNION ALL
SELECT 'column', c.relname, a.attnum::text, a.attname, format_type(a.atttypid, a.atttypmod),
    a.attnotnull::text, coalesce(pg_get_expr(d.adbin, d.adrelid), ''),
    concat_ws(' ', a.attcollation::regcollation, a.attacl, col_description(c.oid, a.attnum))
FROM ours AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
UNION ALL
SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid), '', '', '', ''
FROM pg_constraint WHERE connamespace = 'public'::regnamespace
UNION ALL
SELECT 'index', tablename, indexname, indexdef, '', '', '', ''
FROM pg_indexes WHERE schemaname = 'public'
UNION ALL
SELECT 'policy', tablename, policyname, permissive, roles::text, cmd, qual, coalesce(with_check, '')
FROM pg_policies WHERE schemaname = 'public'
UNION ALL
SELECT 'view', viewname, definition, '', '', '', '', ''
FROM pg_views WHERE schemaname = 'public'
UNION ALL
SELECT 'function', proname, pg_get_functiondef(oid), proacl::text, pg_get_userbyid(proowner),
    '', '', ''
FROM pg_proc WHERE pronamespace = 'public'::regnamespace
ORDER BY 1, 2, 3, 4
"""


async def migrate_alone(dsn: str) -> None:
    """Apply the migrations without creating day partitions."""
    connection = await asyncpg.connect(dsn)
    try:
        await migrations._migrate(connection)
    finally:
        await connection.close()


def as_user(dsn: str, user: str, password: str) -> str:
    """Return the DSN of another login user."""
    parts = urlsplit(dsn)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{user}:{password}@{host}").geturl()


@contextmanager
def login_user(dsn: str, *grants: str) -> Iterator[str]:
    """Create a user with no rights but the given roles; give the DSN of that user."""
    name = f"hub_audit_test_user_{secrets.token_hex(4)}"
    query(dsn, f"CREATE ROLE {name} LOGIN PASSWORD 'throw-away'")
    try:
        for role in grants:
            query(dsn, f"GRANT {role} TO {name}")
        yield as_user(dsn, name, "throw-away")
    finally:
        query(dsn, f"DROP OWNED BY {name}; DROP ROLE {name}")


async def test_empty_database_is_migrated_once(empty_postgres_dsn: str) -> None:
    """Migrations are applied in order, once, also by several processes at the same time."""
    applied = await asyncio.gather(*(migrations.migrate(empty_postgres_dsn) for _ in range(3)))
    assert sorted(applied) == [[], [], LATEST]
    async with opened(empty_postgres_dsn) as db:
        assert await migrations.pending(db) == []


async def test_unmigrated_database_lists_what_is_pending(
    postgres_dsn: str, empty_postgres_dsn: str
) -> None:
    """A process can tell before it starts that the database is not ready, and what it lacks."""
    async with opened(empty_postgres_dsn) as db:  # the roles are those of the whole server
        assert await migrations.pending(db) == LATEST
    query(postgres_dsn, "DELETE FROM schema_migrations WHERE name = '0003_dead_letters'")
    async with opened(postgres_dsn) as db:
        assert await migrations.pending(db) == ["0003_dead_letters"]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ("ENCODING 'UTF8' LOCALE 'C'", "would not find Ä: make it anew .* LC_CTYPE 'C.UTF-8'"),
        ("ENCODING 'LATIN1' LOCALE 'C'", "encoding is LATIN1: make it anew .* 'UTF8'"),
    ],
)
async def test_new_database_that_search_would_not_work_in_is_refused(
    postgres_admin_dsn: str, made: str, said: str
) -> None:
    """Later neither its encoding nor what it takes for letters can be changed; nothing is made."""
    with database(postgres_admin_dsn, template="template0", made=made) as name:
        dsn = dsn_of(postgres_admin_dsn, name)
        with pytest.raises(StartRefused, match=said):
            await migrations.migrate(dsn)
        assert query(dsn, "SELECT to_regclass('schema_migrations')") == [(None,)]


async def test_edited_migration_is_refused(postgres_dsn: str) -> None:
    """A migration whose text is not the one that was applied stops everything."""
    query(postgres_dsn, "UPDATE schema_migrations SET sha256 = 'x' WHERE name = '0001_entries'")
    with pytest.raises(StartRefused, match="0001_entries was applied with another text"):
        await migrations.migrate(postgres_dsn)


async def test_migrations_come_to_the_schema_snapshot(
    postgres_template: str, empty_postgres_dsn: str
) -> None:
    """A database built by the migrations and one built by schema.sql have the same catalogs."""
    with psycopg.connect(empty_postgres_dsn, autocommit=True) as connection:
        connection.execute(text("schema.sql"))
    snapshot = query(empty_postgres_dsn, CATALOG)
    query(empty_postgres_dsn, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
    await migrate_alone(empty_postgres_dsn)
    assert query(empty_postgres_dsn, CATALOG) == snapshot
    assert len(snapshot) > 100


def test_writer_writes_every_column(postgres_dsn: str) -> None:
    """The columns are the writer's, in its order, then sealing's own: on parent and leaves."""
    sql = """SELECT attrelid::regclass::text, array_agg(attname::text ORDER BY attnum)
             FROM pg_attribute WHERE attnum > 0 AND attrelid IN (
                 SELECT 'audit_entries'::regclass UNION
                 SELECT inhrelid FROM pg_inherits WHERE inhparent = 'audit_entries'::regclass)
             GROUP BY 1"""
    tables = query(postgres_dsn, sql)
    assert len(tables) == 100
    assert {tuple(columns) for _, columns in tables} == {(*rows.COLUMNS, *rows.SEALED_COLUMNS)}


async def test_user_without_rights_is_told_what_to_do(
    postgres_template: str, empty_postgres_dsn: str
) -> None:
    """Who may not migrate gets one message, and so does a process that may not be the writer."""
    with login_user(empty_postgres_dsn) as dsn:
        with pytest.raises(StartRefused, match=r"GRANT hub_audit_owner, .* to this user"):
            await migrations.migrate(dsn)
        with pytest.raises(StartRefused, match="GRANT hub_audit_writer to it"):
            await Database.open(dsn)
    with pytest.raises(StartRefused, match="nobody does not exist: run hub-audit migrate"):
        await Database.open(empty_postgres_dsn, role="nobody")
    with pytest.raises(DatabaseOutage):
        await Database.open(as_user(empty_postgres_dsn, "nobody", "wrong"))


async def test_plain_user_with_the_writers_role_does_all_of_its_work(postgres_dsn: str) -> None:
    """No superuser is needed to store, to create days, or to take over from a frozen session."""
    with login_user(postgres_dsn, WRITER) as dsn:
        async with opened(dsn) as db:
            lane = await StoringLane.take(db)
            await lane.store(an_entry("acme", "a"), dead_letters=1, discards=1)
            await ensure_window(db, 120)
            async with opened(dsn) as frozen, frozen.connection() as connection:
                await connection.execute("BEGIN; SELECT FROM lanes FOR UPDATE")
                assert (await StoringLane.take(db)).epoch == 2
            assert [book.balanced for book in await books(db)] == [True]


async def test_database_belongs_to_one_environment_and_group(postgres_dsn: str) -> None:
    """The first process names the database; one of another environment or group is refused."""
    async with opened(postgres_dsn) as db:
        await claim(db, "production", "hub-audit")
        await claim(db, "production", "hub-audit")
        with pytest.raises(StartRefused, match="belongs to environment production"):
            await claim(db, "staging", "hub-audit")
        with pytest.raises(StartRefused, match="group hub-audit"):
            await claim(db, "production", "other")


async def test_days_are_created_once_for_both_tables(postgres_dsn: str) -> None:
    """The window covers the retention and the week ahead; missing days are added, no day twice."""
    async with opened(postgres_dsn) as db:
        today: date = query(postgres_dsn, "SELECT (now() AT TIME ZONE 'UTC')::date")[0][0]
        window = [today + timedelta(days=n) for n in range(-90, 9)]
        assert await days(db) == await days(db, "dead_letters") == window
        assert await oldest_day(db) == window[0]
        assert await ensure_window(db, 90) == []
        earlier = [window[0] - timedelta(days=n) for n in (2, 1)]
        created = await asyncio.gather(*(ensure_days(db, *earlier) for _ in range(3)))
        # One may have made the days of one table, and another those of the other.
        assert {day for made in created for day in made} == set(earlier)
        assert await oldest_day(db) == earlier[0]
        detached = f"audit_entries_{window[0]:%Y%m%d}"
        query(postgres_dsn, f"ALTER TABLE audit_entries DETACH PARTITION {detached}")
        assert await ensure_days(db, window[0], window[0]) == []  # about to be dropped
    sql = "SELECT ensure_days('pg_class', '2026-01-01', '2026-01-02')"
    with pytest.raises(psycopg.errors.RaiseException, match="no day partitions for pg_class"):
        query(postgres_dsn, sql)


async def test_days_of_many_years_are_created_in_parts(postgres_dsn: str) -> None:
    """As many as the longest retention takes would be too many for one transaction."""
    first, last = date(2030, 1, 1), date(2032, 10, 1)
    async with opened(postgres_dsn) as db:
        created = await ensure_days(db, first, last, tables=(DEAD_LETTERS,))
        wanted = [first + timedelta(days=n) for n in range((last - first).days + 1)]
        assert created == wanted
        assert (await days(db, DEAD_LETTERS))[-len(wanted) :] == wanted
        assert await ensure_days(db, first, last, tables=(DEAD_LETTERS,)) == []


async def test_days_are_created_while_a_batch_is_being_stored(postgres_dsn: str) -> None:
    """Neither waits for the other: the parent's lock lets writers pass."""
    async with opened(postgres_dsn) as db:
        lane = await StoringLane.take(db)
        async with db.transaction() as connection:
            await connection.execute("LOCK TABLE audit_entries IN ROW EXCLUSIVE MODE")
            far = NOW.date() + timedelta(days=60)
            async with asyncio.timeout(5):
                assert await ensure_days(db, far, far) == [far]
        await lane.store(an_entry("acme", "a"))


def test_every_table_of_an_organization_is_under_row_security(postgres_dsn: str) -> None:
    """Each table with an org_id, leaves too, enables and forces it, with a policy on the org."""
    sql = """SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity,
                    (SELECT array_agg(p.qual) FROM pg_policies AS p WHERE p.tablename = c.relname)
             FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
             WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
             AND a.attname = 'org_id' AND NOT a.attisdropped"""
    tables = query(postgres_dsn, sql)
    assert len(tables) == 2 * 100 + 9
    for name, forced, policies in tables:
        assert forced, name
        assert len(policies) == 1, name
        assert re.sub(r"::text|[()]", "", policies[0]) == (
            "org_id = NULLIFcurrent_setting'app.org_id', true, ''"
        )


def test_roles_can_do_what_they_need_and_no_more(postgres_dsn: str) -> None:
    """Rights stand on the parents alone, and the writer's are those of appending."""
    sql = """SELECT c.relname, grantee.rolname,
                    string_agg(acl.privilege_type, ' ' ORDER BY acl.privilege_type)
             FROM pg_class AS c, aclexplode(c.relacl) AS acl
             JOIN pg_roles AS grantee ON grantee.oid = acl.grantee
             WHERE c.relnamespace = 'public'::regnamespace AND acl.grantee <> c.relowner
             GROUP BY 1, 2"""
    rights = {(table, role): rights for table, role, rights in query(postgres_dsn, sql)}
    assert {table for table, _ in rights} == {
        "audit_entries", "org_heads", "seq_gaps", "partition_days", "lanes", "source_offsets",
        "source_gaps", "books", "identity", "dead_letters", "schema_migrations", "sealed_days",
        "subscriptions", "forward_shards", "forwarders", "service_tokens", "saved_views",
        "findings", "endpoint_alerts", "day_summaries",
    }  # fmt: skip
    assert rights["audit_entries", WRITER] == "INSERT SELECT"
    assert rights["dead_letters", WRITER] == "INSERT SELECT"
    assert rights["audit_entries", READER] == rights["audit_entries", FORWARDER] == "SELECT"
    assert {rights for (_, role), rights in rights.items() if role == READER} == {"SELECT"}
    assert ("dead_letters", READER) not in rights
    sql = (
        "SELECT rolname, rolbypassrls, rolsuper, rolcanlogin FROM pg_roles WHERE rolname = ANY(%s)"
    )
    assert sorted(query(postgres_dsn, sql, [[*APART, MAINTENANCE, OWNER]])) == [
        (FORWARDER, True, False, False),
        (MAINTENANCE, True, False, False),
        (OWNER, False, False, False),
        (READER, False, False, False),
        (WRITER, True, False, False),
    ]


def test_owners_alone_may_change_entries(postgres_dsn: str) -> None:
    """Of all roles those that own the tables may change and remove rows, and no others."""
    sql = """SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)
             AND has_table_privilege(oid, 'audit_entries', 'UPDATE, DELETE, TRUNCATE')"""
    roles = [*APART, MAINTENANCE, OWNER]
    assert {name for (name,) in query(postgres_dsn, sql, [roles])} == {MAINTENANCE, OWNER}


@pytest.mark.parametrize("role", APART)
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entries SET action = 'x'",
        "DELETE FROM audit_entries",
        "TRUNCATE audit_entries",
        "DELETE FROM dead_letters",
        "UPDATE dead_letters SET raw = ''",
        "DELETE FROM source_offsets",
        "DROP TABLE audit_entries",
        f"SELECT FROM audit_entries_{NOW:%Y%m%d}",
    ],
)
def test_what_is_stored_stays(postgres_dsn: str, role: str, statement: str) -> None:
    """What is written stays: who writes, reads or delivers can neither change nor remove it."""
    with psycopg.connect(postgres_dsn) as connection:
        connection.execute(f"SET ROLE {role}")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement)


async def test_reader_sees_its_own_organization_alone(postgres_dsn: str) -> None:
    """Without app.org_id no row, with it the rows of that organization, and no leaf directly."""
    async with opened(postgres_dsn) as db:
        await (await StoringLane.take(db)).store(an_entry("acme", "a"), an_entry("beta", "a"))
    counts = "SELECT (SELECT count(*) FROM audit_entries), (SELECT count(*) FROM org_heads)"
    with psycopg.connect(postgres_dsn, autocommit=True) as connection:
        connection.execute(f"SET ROLE {READER}")
        assert connection.execute(counts).fetchall() == [(0, 0)]
        for org_id, seen in (("acme", 1), ("beta", 1), ("other", 0), ("", 0)):
            with connection.transaction():
                connection.execute("SELECT set_config('app.org_id', %s, true)", [org_id])
                assert connection.execute(counts).fetchall() == [(seen, seen)]
                orgs = connection.execute("SELECT org_id FROM audit_entries").fetchall()
                assert {name for (name,) in orgs} <= {org_id}
            assert connection.execute(counts).fetchall() == [(0, 0)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(f"SELECT FROM audit_entries_{NOW:%Y%m%d}")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("INSERT INTO org_heads VALUES ('acme', 9)")


async def test_books_show_what_does_not_balance(postgres_dsn: str) -> None:
    """The view tells a partition whose offsets are not all accounted for."""
    query(postgres_dsn, "ALTER TABLE source_offsets DROP CONSTRAINT books_balance")
    async with opened(postgres_dsn) as db:
        lane = await StoringLane.take(db)
        await lane.store(an_entry("acme", "a"), discards=2)
        query(postgres_dsn, "UPDATE source_offsets SET discards = 1")
        (book,) = await books(db)
    assert (book.topic, book.passed, book.accounted, book.balanced) == (TOPIC, 3, 2, False)
