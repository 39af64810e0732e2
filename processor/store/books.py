"""The books, per raw partition, and whose database this is."""

from datetime import datetime
from typing import NamedTuple

from processor.errors import StartRefused
from processor.store.pool import Database
from processor.store.sql import statements

_SQL = statements("books.sql")


class Book(NamedTuple):
    """How the offsets of one raw partition ended."""

    topic: str
    partition: int
    first_offset: int
    stored_through: int
    entries: int
    duplicates: int
    discards: int
    dead_letters: int
    offset_holes: int
    caught_up_at: datetime | None
    passed: int
    accounted: int
    balanced: bool


async def books(db: Database) -> list[Book]:
    """Return the books of every raw partition."""
    async with db.connection() as connection:
        return [Book(*row) for row in await connection.fetch(_SQL["books"])]


async def claim(db: Database, environment: str, group: str) -> None:
    """Make the database this environment's and group's; refuse the start if it is another's."""
    async with db.connection() as connection:
        await connection.execute(_SQL["claim"], environment, group)
    await insist_on_owner(db, environment, group)


async def insist_on_owner(db: Database, environment: str, group: str) -> None:
    """Refuse to go on with a database that is another environment's or group's."""
    async with db.connection() as connection:
        row = await connection.fetchrow(_SQL["owner"])
    if row is not None and tuple(row) != (environment, group):
        problem = (
            f"the database belongs to environment {row[0]}, group {row[1]}, this process to"
            f" environment {environment}, group {group}: give each its own database"
        )
        raise StartRefused([problem])
