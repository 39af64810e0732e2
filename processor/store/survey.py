"""What the store is asked by ``hub-audit doctor``, by gauges and before a start: it only reads."""

from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

import asyncpg

from processor.store.books import books
from processor.store.partitions import DEAD_LETTERS, ENTRIES, days, oldest_day
from processor.store.pool import FORWARDER, MAINTENANCE, READER, WRITER, Database
from processor.store.sql import statements

_SQL = statements("survey.sql") | {"subscriptions": statements("subscriptions.sql")["states"]}

UTF8 = "UTF8"
ROLES = (WRITER, READER, FORWARDER, MAINTENANCE)


class Owner(NamedTuple):
    """Whose database this is."""

    environment: str
    group: str


class Origin(NamedTuple):
    """An organization, and the partition by which an entry of it came in."""

    org_id: str
    partition: int


class Server(NamedTuple):
    """The server's version as a number, the settings on which durability rests, its lock table.

    ``folds``: whether the database knows the case of letters beyond ASCII.
    """

    version: int
    fsync: str
    full_page_writes: str
    encoding: str
    locks: int
    folds: bool


class Vitals(NamedTuple):
    """Days ahead of today by table, when the oldest day begins (UNIX time), books that are off.

    ``lost_offsets``: what the bus forgot before it was stored, as found within the last hour.
    """

    days_ahead: Mapping[str, int]
    oldest_day_at: float
    unbalanced: int
    off_by: int
    lost_offsets: int


async def owner(db: Database) -> Owner | None:
    """Return whose database this is; None while it is nobody's."""
    async with db.connection() as connection:
        row = await connection.fetchrow(_SQL["owner"])
    return None if row is None else Owner(*row)


async def batches(db: Database) -> dict[int, int]:
    """Return the number of each lane's last stored batch."""
    async with db.connection() as connection:
        return {row[0]: row[1] for row in await connection.fetch(_SQL["lanes"])}


async def heads(db: Database) -> dict[str, int]:
    """Return every organization's last number."""
    async with db.connection() as connection:
        return {row[0]: row[1] for row in await connection.fetch(_SQL["heads"])}


async def origins(db: Database, *, limit: int) -> list[Origin]:
    """Return by which partition some of the entries of the last days came in."""
    async with db.connection() as connection:
        return [Origin(*row) for row in await connection.fetch(_SQL["newest"], limit)]


async def today(db: Database) -> date:
    """Return the database's idea of the day, in UTC."""
    async with db.connection() as connection:
        day: date = await connection.fetchval(_SQL["today"])
    return day


async def clock(db: Database) -> float:
    """Return what the database's clock says, in seconds of UNIX time."""
    async with db.connection() as connection:
        seconds: float = await connection.fetchval(_SQL["clock"])
    return seconds


async def roles(db: Database) -> list[str]:
    """Return the roles that the login user may not work as."""
    async with db.login_connection() as connection:
        return [row[0] for row in await connection.fetch(_SQL["roles"], list(ROLES))]


async def subscriptions(db: Database) -> dict[str, int]:
    """Return how many subscriptions are active, paused and failing."""
    async with db.login_connection() as connection:
        await connection.execute(_SQL["as_forwarder"])
        return dict(await connection.fetchrow(_SQL["subscriptions"]))


async def server(db: Database) -> Server:
    """Return what the server is."""
    async with db.connection() as connection:
        row = await connection.fetchrow(_SQL["server"])
        known = row["encoding"] == UTF8 and await folds(connection)
        return Server(**row, folds=known)


async def folds(connection: asyncpg.Connection) -> bool:
    """Return whether a database in UTF-8 knows the case of letters beyond ASCII."""
    known: bool = await connection.fetchval(_SQL["folds"])
    return known


async def vitals(db: Database) -> Vitals:
    """Return what is worth a gauge."""
    first, current = await oldest_day(db), await today(db)
    ahead = {
        table: _ahead(set(await days(db, table)), current) for table in (ENTRIES, DEAD_LETTERS)
    }
    begin = datetime.combine(first or current, time.min, UTC).timestamp()
    off = [abs(book.passed - book.accounted) for book in await books(db) if not book.balanced]
    async with db.connection() as connection:
        lost: int = await connection.fetchval(_SQL["recent_gaps"])
    return Vitals(ahead, begin, len(off), sum(off), lost)


def _ahead(there: Collection[date], current: date) -> int:
    """Return how many days beyond the current one are there without a gap; -1: not even that."""
    ahead = -1
    while current + timedelta(days=ahead + 1) in there:
        ahead += 1
    return ahead


async def lost_offsets(db: Database) -> int:
    """Return how many offsets the bus lost before they were stored."""
    async with db.connection() as connection:
        count: int = await connection.fetchval(_SQL["gaps"])
    return count
