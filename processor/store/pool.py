"""Connections to Postgres: one pool, one role, and every outage as one typed error."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Self

import asyncpg

from processor.errors import DatabaseOutage, StartRefused

WRITER = "hub_audit_writer"
READER = "hub_audit_reader"
FORWARDER = "hub_audit_forwarder"
MAINTENANCE = "hub_audit_maintenance"

CONNECT_TIMEOUT_SECONDS = 5.0
# A statement that the server does not end by itself (COPY ignores its time-out) is ended from here.
CLIENT_MARGIN_SECONDS = 5.0
STATEMENT_TIMEOUT_SECONDS = 30.0
# With every connection of the pool busy for this long, the database is as good as away.
ACQUIRE_TIMEOUT_SECONDS = 30.0

# What Postgres says when it cannot work now but may later; SQLSTATE classes and codes.
_OUTAGE_CLASSES = ("08", "53", "57", "58")
_OUTAGE_CODES = ("25006", "25P03", "28000", "28P01", "3D000", "40003", "55P03")


class TableChanged(DatabaseOutage):
    """A migration changed what a prepared statement returns; the next attempt prepares it anew."""

    sqlstate = asyncpg.InvalidCachedStatementError.sqlstate


def _by_outage(error: Exception) -> bool:
    """Tell an outage from a refusal of what was asked."""
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return state in _OUTAGE_CODES or state[:2] in _OUTAGE_CLASSES
    return isinstance(error, OSError)


@contextmanager
def outages(connection: asyncpg.Connection | None = None) -> Iterator[None]:
    """Raise DatabaseOutage for every way in which Postgres can be away; let the rest pass."""
    try:
        yield
    except asyncpg.InvalidCachedStatementError as error:
        # Outside of a transaction the client itself does it again.
        raise TableChanged(_said(error)) from error
    except (asyncpg.PostgresError, OSError) as error:
        if not _by_outage(error):
            raise
        raise DatabaseOutage(_said(error)) from error
    except asyncpg.InternalClientError as error:
        # What the client says in the moment between the server's last word and its end.
        raise DatabaseOutage(_said(error)) from error
    except asyncpg.InterfaceError as error:
        # The client's words for "no connection any more"; on a live connection it is our bug.
        if connection is not None and not _lost(connection):
            raise
        raise DatabaseOutage(_said(error)) from error


def _lost(connection: asyncpg.Connection) -> bool:
    """Tell whether a connection is no more; the pool takes back one that broke by itself."""
    try:
        closed: bool = connection.is_closed()
    except asyncpg.InterfaceError:
        return True
    return closed


def _said(error: Exception) -> str:
    """Return what went wrong, also for the errors that carry no text."""
    return f"{type(error).__name__}: {error}".rstrip(": ")


class Database:
    """A pool of connections that all work as one role.

    The role is set once per connection, so between us and Postgres there may be a pooler in
    session mode, but none in transaction mode. No other session state is ever set.
    """

    def __init__(self, pool: asyncpg.Pool, dsn: str) -> None:
        """Keep the pool, and the DSN for connections outside of it."""
        self._pool = pool
        self._dsn = dsn

    @classmethod
    async def open(
        cls,
        dsn: str,
        *,
        role: str = WRITER,
        connections: int = 4,
        statement_timeout_seconds: float = STATEMENT_TIMEOUT_SECONDS,
    ) -> Self:
        """Open the pool with one connection; refuse the start where the role cannot be taken."""

        async def assume_role(connection: asyncpg.Connection) -> None:
            """Set every new connection up."""
            await _assume_role(connection, role)

        with outages():
            pool = await asyncpg.create_pool(
                dsn,
                min_size=1,
                max_size=connections,
                timeout=CONNECT_TIMEOUT_SECONDS,
                command_timeout=statement_timeout_seconds + CLIENT_MARGIN_SECONDS,
                server_settings=_server_settings(statement_timeout_seconds),
                init=assume_role,
                reset=_keep,
            )
        return cls(pool, dsn)

    def occupation(self) -> tuple[int, int]:
        """Return how many connections are idle, and how many work."""
        idle: int = self._pool.get_idle_size()
        return idle, self._pool.get_size() - idle

    async def close(self) -> None:
        """Close every connection; give those at work a moment, then cut them off."""
        try:
            async with asyncio.timeout(CLIENT_MARGIN_SECONDS):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    async def answers(self) -> None:
        """Return when Postgres has answered; raises DatabaseOutage."""
        async with self.connection() as connection:
            await connection.execute("SELECT")

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[asyncpg.Connection]:
        """Lend a connection for single statements, each its own transaction."""
        with outages():
            connection = await self._pool.acquire(timeout=ACQUIRE_TIMEOUT_SECONDS)
        try:
            with outages(connection):
                yield connection
        except (DatabaseOutage, asyncio.CancelledError):
            # Its state is not known and asking could hang: cut it off, the server rolls back.
            if not _lost(connection):
                connection.terminate()
            raise
        finally:
            # One that cannot be returned is cut off by the pool; what was done on it stays done.
            with suppress(DatabaseOutage), outages():
                await self._pool.release(connection, timeout=CLIENT_MARGIN_SECONDS)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[asyncpg.Connection]:
        """Run a block in one transaction: committed at its end, rolled back by any exception.

        A connection lost while committing raises DatabaseOutage as well: the outcome is unknown.
        """
        async with self.connection() as connection:
            await connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
            try:
                with outages(connection):
                    yield connection
            except (DatabaseOutage, asyncio.CancelledError):
                raise  # the connection is cut off, which rolls back
            except BaseException:
                await connection.execute("ROLLBACK")
                raise
            await connection.execute("COMMIT")

    @asynccontextmanager
    async def login_connection(self) -> AsyncIterator[asyncpg.Connection]:
        """Open a connection of its own, as the login user: the one who may end our own backends."""
        with outages():
            connection = await asyncpg.connect(
                self._dsn, timeout=CONNECT_TIMEOUT_SECONDS, command_timeout=CLIENT_MARGIN_SECONDS
            )
        try:
            with outages(connection):
                yield connection
        finally:
            connection.terminate()


def _server_settings(statement_timeout_seconds: float) -> dict[str, str]:
    """Return the settings every connection starts with; they survive any reset."""
    return {
        "application_name": "hub-audit",
        # With off, kill -9 lost the last acknowledged batch in 6 of 6 kills.
        "synchronous_commit": "on",
        "statement_timeout": str(round(statement_timeout_seconds * 1000)),
        # A worker frozen between two statements must not hold its locks for ever.
        "idle_in_transaction_session_timeout": "15000",
        # A backend that waits for a lock notices that its worker is gone.
        "client_connection_check_interval": "2000",
        "timezone": "UTC",
        "jit": "off",
    }


async def _assume_role(connection: asyncpg.Connection, role: str) -> None:
    """Work as the role from now on, or say what is missing."""
    member = await connection.fetchval(
        "SELECT pg_has_role(oid, 'MEMBER') FROM pg_roles WHERE rolname = $1", role
    )
    if member is None:
        raise StartRefused([f"the database role {role} does not exist: run hub-audit migrate"])
    if not member:
        raise StartRefused(
            [f"the database user may not work as {role}: have an administrator GRANT {role} to it"]
        )
    await connection.execute("SELECT set_config('role', $1, false)", role)


async def _keep(_connection: asyncpg.Connection) -> None:
    """Leave a returned connection as it is: nothing but transaction-local state was ever set."""
