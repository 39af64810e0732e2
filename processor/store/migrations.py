"""Migrations: numbered SQL files, each applied once, in order, in its own transaction."""

import asyncio
from hashlib import sha256

import asyncpg

from processor.errors import DatabaseOutage, StartRefused
from processor.store.partitions import ensure_window
from processor.store.pool import CONNECT_TIMEOUT_SECONDS, Database, outages
from processor.store.sql import migrations, text
from processor.store.survey import UTF8, folds

# Any number, the same in every process: only one migrates at a time.
_ADVISORY_LOCK = 0x48554241
_WAIT_FOR_OTHER_SECONDS = 60

LOCK_PATIENCE_SECONDS = 1
"""How long a migration may wait for whoever uses its tables: all others wait behind it."""

ATTEMPTS_MAX = 60
ATTEMPT_PAUSE_SECONDS = 5.0

_NOT_NOW = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)

_ROLES = (
    "hub_audit_owner",
    "hub_audit_writer",
    "hub_audit_reader",
    "hub_audit_forwarder",
    "hub_audit_maintenance",
)
_OWNER = _ROLES[0]

_ANEW = "make it anew from template0 with"

_JOURNAL = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    name text PRIMARY KEY,
    sha256 text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT ON schema_migrations
TO hub_audit_writer, hub_audit_reader, hub_audit_maintenance;
"""


async def migrate(dsn: str, *, retention_days: int = 90) -> list[str]:
    """Bring a database up to date, and create its day partitions; return what was applied."""
    with outages():
        connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_SECONDS)
    try:
        with outages(connection):
            applied = await _migrate(connection)
    finally:
        await connection.close()
    db = await Database.open(dsn, connections=1)
    try:
        await ensure_window(db, retention_days)
    finally:
        await db.close()
    return applied


async def pending(db: Database) -> list[str]:
    """Return the migrations that the database lacks, in order."""
    async with db.connection() as connection:
        if await connection.fetchval("SELECT to_regclass('schema_migrations')") is None:
            return [name for name, _ in migrations()]
        return [name for name, _ in _missing(await _journal(connection))]


async def _migrate(connection: asyncpg.Connection) -> list[str]:
    """Apply what is missing while nobody else does."""
    await connection.execute(f"SET lock_timeout = '{_WAIT_FOR_OTHER_SECONDS}s'")
    await connection.execute("SELECT pg_advisory_lock($1)", _ADVISORY_LOCK)
    await _refuse_unfit(connection)
    await _prepare_roles(connection)
    async with connection.transaction():
        await connection.execute(f"SET LOCAL ROLE {_OWNER}")
        await connection.execute("SET LOCAL client_min_messages = warning")
        await connection.execute(_JOURNAL)
    missing = _missing(await _journal(connection))
    for name, statements in missing:
        await _apply(connection, name, statements)
    return [name for name, _ in missing]


async def _refuse_unfit(connection: asyncpg.Connection) -> None:
    """Refuse a new database that search would not work in: neither can be changed later."""
    if await connection.fetchval("SELECT to_regclass('schema_migrations')") is not None:
        return
    encoding = await connection.fetchval("SHOW server_encoding")
    if encoding != UTF8:
        raise StartRefused([f"the database's encoding is {encoding}: {_ANEW} ENCODING 'UTF8'"])
    if not await folds(connection):
        said = "the database knows no case beyond ASCII, and a search for ä would not find Ä"
        raise StartRefused([f"{said}: {_ANEW} LC_CTYPE 'C.UTF-8'"])


async def _apply(connection: asyncpg.Connection, name: str, statements: str) -> None:
    """Apply a migration once nobody uses its tables; in between those who wait get their turn."""
    for _ in range(ATTEMPTS_MAX):
        try:
            async with connection.transaction():
                await connection.execute(
                    f"SET LOCAL ROLE {_OWNER}; SET LOCAL lock_timeout = '{LOCK_PATIENCE_SECONDS}s'"
                )
                await connection.execute(statements)
                await connection.execute(
                    "INSERT INTO schema_migrations (name, sha256) VALUES ($1, $2)",
                    name,
                    _checksum(statements),
                )
        except _NOT_NOW:
            await asyncio.sleep(ATTEMPT_PAUSE_SECONDS)
        else:
            return
    raise DatabaseOutage(
        f"migration {name} waits for a session that uses its tables all the time, as a backup does:"
        " run hub-audit migrate again when that is over"
    )


async def _prepare_roles(connection: asyncpg.Connection) -> None:
    """Create the roles, and let the owner create tables; or say in one message who has to."""
    ready = await connection.fetchval(
        "SELECT count(*) = $2 FROM pg_roles WHERE rolname = ANY($1::text[])",
        _ROLES,
        len(_ROLES),
    )
    try:
        if not ready:
            await connection.execute(text("roles.sql"))
        if not await connection.fetchval(
            "SELECT has_schema_privilege($1, 'public', 'CREATE')", _OWNER
        ):
            await connection.execute(f"GRANT USAGE, CREATE ON SCHEMA public TO {_OWNER}")
        await connection.execute(f"SET ROLE {_OWNER}; RESET ROLE")
    except asyncpg.InsufficientPrivilegeError as error:
        problem = (
            f"this database user may not set up the roles ({error}): have a superuser run"
            " hub-audit migrate once, or run processor/store/sql/roles.sql, GRANT CREATE ON"
            f" SCHEMA public TO {_OWNER}, and GRANT {', '.join(_ROLES)} to this user"
        )
        raise StartRefused([problem]) from error


async def _journal(connection: asyncpg.Connection) -> dict[str, str]:
    """Return the checksums of the migrations that were applied."""
    rows = await connection.fetch("SELECT name, sha256 FROM schema_migrations")
    return {row["name"]: row["sha256"] for row in rows}


def _missing(journal: dict[str, str]) -> list[tuple[str, str]]:
    """Return the migrations not in the journal; refuse a journal of other texts."""
    known = migrations()
    edited = [name for name, statements in known if _differs(journal.get(name), statements)]
    if edited:
        raise StartRefused(
            [f"migration {name} was applied with another text: restore it" for name in edited]
        )
    return [(name, statements) for name, statements in known if name not in journal]


def _differs(checksum: str | None, statements: str) -> bool:
    """Tell whether an applied migration was another one."""
    return checksum is not None and checksum != _checksum(statements)


def _checksum(statements: str) -> str:
    """Return the checksum the journal keeps."""
    return sha256(statements.encode()).hexdigest()
