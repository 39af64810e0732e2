"""Reading for one organization: every statement under its row-level security, none that writes."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from datetime import datetime
from typing import Any, Self

import asyncpg
from typing_extensions import TypeVar

from processor.settings import Settings
from processor.store.books import ours
from processor.store.pool import READER, Database
from processor.store.rows import COLUMNS, decode
from processor.store.sql import statements
from schemas.entry import Entry

SLICE_ROWS = 500
"""So many entries are put together in one go: 11 ms where they are small, which others wait for."""

T = TypeVar("T", default=Entry)

_COLUMNS = ", ".join(f"e.{column}" for column in COLUMNS)
_SQL = statements("search.sql")


def reading(name: str) -> dict[str, str]:
    """Return the statements of a .sql file, ``/*columns*/`` being what ``rows.decode`` takes."""
    texts = statements(name).items()
    return {heading: text.replace("/*columns*/", _COLUMNS) for heading, text in texts}


def whole(entry: Entry) -> Any:
    """Return an entry as it is."""
    return entry


async def decoded(rows: Sequence[Mapping[str, Any]], shown: Callable[[Entry], T]) -> list[T]:
    """Return the entries of rows as they are shown; others get their turn in between."""
    entries: list[T] = []
    for begin in range(0, len(rows), SLICE_ROWS):
        entries += [shown(decode(row)) for row in rows[begin : begin + SLICE_ROWS]]
        await asyncio.sleep(0)
    return entries


class Reader:
    """A pool of read-only connections; what one organization asks sees only its own rows."""

    def __init__(
        self,
        db: Database,
        statement_timeout_seconds: float,
        share: AbstractAsyncContextManager[object] | None = None,
    ) -> None:
        """Keep the pool, how long a statement may take unless said otherwise, whose turn it is."""
        self._db = db
        self._timeout_seconds = statement_timeout_seconds
        self._share = share or nullcontext()

    @classmethod
    @asynccontextmanager
    async def opened(cls, settings: Settings, *, connections: int = 1) -> AsyncIterator[Self]:
        """Read for the length of a block; refuse another's database, as ``books.ours`` does."""
        seconds = settings.postgres.statement_timeout_seconds
        async with ours(
            settings,
            role=READER,
            connections=connections,
            statement_timeout_seconds=seconds,
        ) as db:
            yield cls(db, seconds)

    def sharing(self, connections: int) -> "Reader":
        """Return a reader of the same pool that has so many of its connections at once at most.

        Who comes when it has them waits, in the order of coming.
        """
        return Reader(self._db, self._timeout_seconds, asyncio.Semaphore(connections))

    @property
    def db(self) -> Database:
        """The pool, for what is asked for no organization."""
        return self._db

    async def now(self) -> datetime:
        """Return what the database's clock says."""
        async with self._share, self._db.connection() as connection:
            now: datetime = await connection.fetchval(_SQL["now"])
        return now

    @asynccontextmanager
    async def of(
        self, org_id: str, *, statement_timeout_seconds: float | None = None
    ) -> AsyncIterator[asyncpg.Connection]:
        """Lend a connection for one read-only transaction in which only that organization exists.

        Every setting is the transaction's own, so that nothing is left for who borrows next.
        """
        seconds = (
            self._timeout_seconds
            if statement_timeout_seconds is None
            else statement_timeout_seconds
        )
        async with self._share, self._db.transaction() as connection:
            milliseconds = str(max(1, round(seconds * 1000)))
            await connection.execute(_SQL["read_as"], org_id, milliseconds)
            yield connection
