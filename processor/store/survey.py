"""What the store is asked by ``hub-audit doctor`` and before a start; nothing is written."""

from datetime import date
from typing import NamedTuple

from processor.store.pool import Database
from processor.store.sql import statements

_SQL = statements("survey.sql")


class Owner(NamedTuple):
    """Whose database this is."""

    environment: str
    group: str


class Origin(NamedTuple):
    """An organization, and the partition by which an entry of it came in."""

    org_id: str
    partition: int


class Server(NamedTuple):
    """The server's version as a number, and the settings on which durability rests."""

    version: int
    fsync: str
    full_page_writes: str
    encoding: str


async def owner(db: Database) -> Owner | None:
    """Return whose database this is; None while it is nobody's."""
    async with db.connection() as connection:
        row = await connection.fetchrow(_SQL["owner"])
    return None if row is None else Owner(*row)


async def batches(db: Database) -> dict[int, int]:
    """Return the number of each lane's last stored batch."""
    async with db.connection() as connection:
        return {row[0]: row[1] for row in await connection.fetch(_SQL["lanes"])}


async def origins(db: Database, *, limit: int) -> list[Origin]:
    """Return by which partition some of the entries of the last days came in."""
    async with db.connection() as connection:
        return [Origin(*row) for row in await connection.fetch(_SQL["newest"], limit)]


async def today(db: Database) -> date:
    """Return the database's idea of the day, in UTC."""
    async with db.connection() as connection:
        day: date = await connection.fetchval(_SQL["today"])
    return day


async def server(db: Database) -> Server:
    """Return what the server is."""
    async with db.connection() as connection:
        return Server(*await connection.fetchrow(_SQL["server"]))


async def lost_offsets(db: Database) -> int:
    """Return how many offsets the bus lost before they were stored."""
    async with db.connection() as connection:
        count: int = await connection.fetchval(_SQL["gaps"])
    return count
