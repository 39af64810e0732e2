"""The session of a maintainer: one connection, one lock, and statements that may take long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TypeAlias

import asyncpg

from processor.settings import Settings
from processor.store.books import ours
from processor.store.pool import MAINTENANCE, Database
from processor.store.sql import statements

_SQL = statements("maintenance.sql")

STATEMENT_TIMEOUT_SECONDS = 3_600.0
"""Of building an index or freezing a day of many millions of entries."""

FROZEN_AFTER = "120s"
"""So long idle amid a round, a maintainer is frozen or cut off: the database ends its session."""

SIGN_OF_LIFE_SECONDS = 20.0
"""So often a maintainer that rests says that it is not frozen."""

Session: TypeAlias = asyncpg.Connection


@asynccontextmanager
async def maintenance(settings: Settings) -> AsyncIterator[Database]:
    """Lend our own store to a maintainer: the role that owns the partitions, and time enough."""
    async with ours(
        settings,
        role=MAINTENANCE,
        connections=2,
        statement_timeout_seconds=STATEMENT_TIMEOUT_SECONDS,
    ) as db:
        yield db


@asynccontextmanager
async def alone(db: Database) -> AsyncIterator[Session | None]:
    """Lend the one session that may maintain; None while another maintainer has it.

    Everything is done on this very connection: a maintainer that lost the lock has lost its hands.
    """
    async with db.connection() as session:
        if not await session.fetchval(_SQL["lock"]):
            yield None
            return
        await session.execute(_SQL["see_all"])
        await session.execute(_SQL["idle_at_most"], FROZEN_AFTER)
        try:
            yield session
        except BaseException:
            session.terminate()  # whatever it was in, the lock goes with it
            raise
        await session.execute(_SQL["idle_at_most"], "0")
        await session.execute(_SQL["unlock"])


async def now(session: Session) -> datetime:
    """Return the database's time, in UTC: the one clock that all processes share."""
    at: datetime = await session.fetchval(_SQL["now"])
    return at


async def pause(session: Session, seconds: float) -> None:
    """Leave the machine to others for a while, however long, and keep the session."""
    while seconds > 0:
        await asyncio.sleep(min(seconds, SIGN_OF_LIFE_SECONDS))
        seconds -= SIGN_OF_LIFE_SECONDS
        await session.execute(_SQL["sign_of_life"])
