"""The books, per raw partition, and whose database this is."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import NamedTuple

import asyncpg

from processor.errors import StartRefused
from processor.settings import Settings
from processor.store.pool import STATEMENT_TIMEOUT_SECONDS, WRITER, Database
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


@asynccontextmanager
async def ours(
    settings: Settings,
    *,
    role: str = WRITER,
    connections: int = 1,
    statement_timeout_seconds: float = STATEMENT_TIMEOUT_SECONDS,
) -> AsyncIterator[Database]:
    """Lend the database of the settings, for work in a role; refuse that of others.

    Every process and command opens it here: what is changed by settings that belong elsewhere could
    not be taken back. One that is nobody's yet is lent as well: a worker alone claims it, and who
    reads or subscribes may be there before the first. Raises StartRefused.
    """
    db = await Database.open(
        settings.postgres.dsn.get_secret_value(),
        role=role,
        connections=connections,
        statement_timeout_seconds=statement_timeout_seconds,
    )
    try:
        await insist_on_owner(db, settings.environment, settings.group)
        yield db
    finally:
        await db.close()


async def claim(db: Database, environment: str, group: str) -> None:
    """Make the database this environment's and group's; refuse the start if it is another's."""
    async with db.connection() as connection:
        await connection.execute(_SQL["claim"], environment, group)
    await insist_on_owner(db, environment, group)


async def insist_on_owner(db: Database, environment: str, group: str) -> None:
    """Refuse to go on with a database that is another environment's or group's."""
    try:
        async with db.connection() as connection:
            row = await connection.fetchrow(_SQL["owner"])
    except (asyncpg.UndefinedTableError, asyncpg.InsufficientPrivilegeError) as error:
        # Whoever may not ask got the right to by a migration, as the table came by one.
        raise StartRefused(["the database is not up to date: run hub-audit migrate"]) from error
    if row is not None and tuple(row) != (environment, group):
        problem = (
            f"the database belongs to environment {row[0]}, group {row[1]}, this process to"
            f" environment {environment}, group {group}: give each its own database"
        )
        raise StartRefused([problem])
