"""SIEM subscriptions: their rows, what is ordered of them, and what is new for them.

Positions here follow those that Kafka commits with the messages and never lead them; a forwarder
starts from the larger of the two.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Literal, NamedTuple, get_args
from uuid import UUID

import asyncpg
import orjson
from pydantic import ValidationError

from processor.store.pool import Database
from processor.store.reader import Reader
from processor.store.rows import decode
from processor.store.sql import statements
from schemas.catalogue import FormatName
from schemas.entry import Entry
from schemas.subscription import Filter

_SQL = statements("subscriptions.sql")

SEQ_MAX = 2**63 - 1

STRAYS_SEQS = 10_000
"""So many numbers without an entry from after an instant, and there are none below either."""

MATCHED_DAYS = 90
MATCHED_SECONDS_MAX = 2.0
"""What it is worth to find out whether a filter would have let anything pass."""

FORWARDING_SECONDS = 30.0
"""Without a word of any forwarder for so long, there is none."""

FILTERS_CACHED_MAX = 4_096
"""Filters are few and looked at several times a second."""

Access = Literal["set", "open", "by_hand", "unknown"]
"""Whether the subscriber was let in to its topic: by us, not needed, or by whom the bus is."""

State = Literal["active", "paused", "failing"]


class Replay(NamedTuple):
    """Entries that are wanted again: those above ``after``, up to ``through``."""

    id: UUID
    after: int
    through: int


class Subscription(NamedTuple):
    """A subscription as it stands; ``last_seq`` is the organization's newest entry.

    Every entry up to ``forwarded_through`` was considered for it, and its subscriber was told so up
    to ``told_through``. ``id`` tells it from one that had its name before. ``unusable`` says why
    this version cannot serve it, if it cannot.
    """

    id: UUID
    org_id: str
    format: FormatName
    filter: Filter
    paused: bool
    last_seq: int
    forwarded_through: int
    told_through: int
    created_at: datetime
    delivered_at: datetime | None
    error: str | None
    error_at: datetime | None
    replay: Replay | None
    test_id: UUID | None
    access: Access
    replayed_through: int | None
    unusable: str | None = None

    @property
    def state(self) -> State:
        """What it does at the moment."""
        if self.paused:
            return "paused"
        return "failing" if self.error else "active"

    @property
    def lag_entries(self) -> int:
        """How many entries were not considered yet."""
        return max(0, self.last_seq - self.forwarded_through)


class Delivered(NamedTuple):
    """How far a subscription has come, and which of its orders are carried out."""

    id: UUID
    forwarded_through: int
    told_through: int
    sent: bool
    replay_id: UUID | None = None
    replayed_through: int | None = None
    replay_done: UUID | None = None
    test_done: UUID | None = None


class Wanted(NamedTuple):
    """Entries of an organization above one number, up to another."""

    org_id: str
    after: int
    through: int = SEQ_MAX


class Gap(NamedTuple):
    """Numbers that no entry has any more, both ends included, and why."""

    first: int
    last: int
    reason: str


async def of_shard(db: Database, shard: int) -> list[Subscription]:
    """Return the subscriptions of a shard that are not paused."""
    async with db.connection() as connection:
        return [_subscription(row) for row in await connection.fetch(_SQL["of_shard"], shard)]


async def listed(db: Database, org_id: str | None = None) -> list[Subscription]:
    """Return the subscriptions of an organization, or of all."""
    async with db.connection() as connection:
        return [_subscription(row) for row in await connection.fetch(_SQL["listed"], org_id)]


async def states(db: Database) -> dict[str, int]:
    """Return how many subscriptions are active, paused and failing."""
    async with db.connection() as connection:
        return dict(await connection.fetchrow(_SQL["states"]))


async def entries_after(db: Database, wanted: Sequence[Wanted], limit: int) -> list[list[Entry]]:
    """Return for each of the wanted ranges its first entries by number, ``limit`` at most."""
    found: list[list[Entry]] = [[] for _ in wanted]
    places = list(range(len(wanted)))
    columns = [list(column) for column in zip(*wanted, strict=True)]
    async with db.connection() as connection:
        rows = await connection.fetch(_SQL["entries_after"], places, *columns, limit)
    for row in rows:
        found[row["place"]].append(decode(row))
    return found


@asynccontextmanager
async def reading(
    db: Database, wanted: Wanted, limit: int
) -> AsyncIterator[Callable[[int], Awaitable[list[Entry]]]]:
    """Lend what returns the next so many entries of a range; ``limit`` at most in all.

    One plan and one pass, wherever it is left: to look through all days again costs 10 ms a page.
    """
    columns = [[value] for value in wanted]
    async with db.transaction() as connection:
        cursor = await connection.cursor(_SQL["entries_after"], [0], *columns, limit)

        async def more(count: int) -> list[Entry]:
            """Return the next of them, fewer where there are no more."""
            return [decode(row) for row in await cursor.fetch(count)]

        yield more


async def gaps(db: Database, org_id: str, first: int, last: int) -> list[Gap]:
    """Return which numbers from ``first`` to ``last`` are known to be gone."""
    async with db.connection() as connection:
        return [Gap(*row) for row in await connection.fetch(_SQL["gaps"], org_id, first, last)]


async def note_delivered(db: Database, delivered: Iterable[Delivered]) -> None:
    """Write how far subscriptions have come, which also clears what was wrong with them."""
    columns = [list(column) for column in zip(*delivered, strict=True)]
    async with db.connection() as connection:
        await connection.execute(_SQL["delivered"], *columns)


async def note_failed(db: Database, subscription: UUID, error: str) -> None:
    """Write why a subscription cannot be served."""
    async with db.connection() as connection:
        await connection.execute(_SQL["failed"], subscription, error)


async def forwarding(db: Database) -> bool:
    """Tell whether any forwarder is there."""
    seconds = timedelta(seconds=FORWARDING_SECONDS)
    async with db.connection() as connection:
        there: bool = await connection.fetchval(_SQL["forwarding"], seconds)
    return there


async def last_seq(db: Database, org_id: str) -> int:
    """Return the organization's last sequence number, 0 when it never had an entry."""
    async with db.connection() as connection:
        return await connection.fetchval(_SQL["last_seq"], org_id) or 0


async def matched(reader: Reader, org_id: str, wanted: Filter) -> bool | None:
    """Tell whether an entry of the last MATCHED_DAYS passes a filter; None when that takes long."""
    conditions = wanted.actions, wanted.categories, wanted.outcomes
    days = timedelta(days=MATCHED_DAYS)
    async with reader.of(org_id, statement_timeout_seconds=MATCHED_SECONDS_MAX) as connection:
        try:
            found: bool = await connection.fetchval(
                _SQL["matched"], org_id, days, *map(list, conditions), wanted.severity_min
            )
        except asyncpg.QueryCanceledError:
            return None
    return found


# --- orders ------------------------------------------------------------------------------------


async def create(
    db: Database,
    org_id: str,
    name: FormatName,
    hashed: int,
    wanted: Filter,
    access: Access = "unknown",
) -> bool:
    """Create a subscription that begins with the next entry; False when there is one already.

    ``hashed`` is a number of the organization's by which shards are chosen.
    """
    text = wanted.model_dump_json(exclude_defaults=True)
    async with db.connection() as connection:
        row = await connection.fetchrow(_SQL["create"], org_id, name, hashed, text, access)
    return row is not None


async def set_paused(db: Database, org_id: str, name: str, *, paused: bool) -> bool:
    """Stop a subscription, which keeps its place, or let it go on; False when there is none."""
    async with db.connection() as connection:
        return await connection.fetchval(_SQL["pause"], org_id, name, paused) is not None


async def order_replay(
    db: Database, org_id: str, name: str, after: int, through: int | None
) -> int | None:
    """Order entries again, those that were delivered already; returns up to which, or None."""
    async with db.connection() as connection:
        last: int | None = await connection.fetchval(_SQL["replay"], org_id, name, after, through)
    return last


async def seq_before(db: Database, org_id: str, instant: datetime) -> int:
    """Return a number behind which everything lies that was recorded from an instant on.

    Numbers follow the time of recording only roughly, since one topic may lag behind another. So
    what is found by halving is moved back for as long as STRAYS_SEQS before it hold such an entry.
    """
    async with db.connection() as connection:
        low, high = 0, await connection.fetchval(_SQL["last_seq"], org_id) or 0
        while low < high:
            middle = (low + high) // 2
            entry = await connection.fetchrow(_SQL["recorded_after"], org_id, middle)
            if entry is None or entry["recorded_at"] >= instant:
                high = middle
            else:
                low = entry["seq"]
        while stray := await connection.fetchval(_SQL["stray"], org_id, low, STRAYS_SEQS, instant):
            low = stray - 1
    return low


async def order_test(db: Database, org_id: str, name: str) -> bool:
    """Order a test event; False when there is no such subscription."""
    async with db.connection() as connection:
        return await connection.fetchval(_SQL["test"], org_id, name) is not None


async def delete(db: Database, subscription: UUID) -> bool:
    """End a subscription; False when there was none."""
    async with db.connection() as connection:
        return await connection.fetchval(_SQL["delete"], subscription) is not None


def _subscription(row: Mapping[str, Any]) -> Subscription:
    replay = None
    if row["replay_id"] is not None:
        replay = Replay(row["replay_id"], row["replay_after"], row["replay_through"])
    wanted, unusable = _filter(row["filter"])
    if row["format"] not in get_args(FormatName):
        unusable = f"this version does not know the format {row['format']}"
    return Subscription(
        id=row["id"],
        org_id=row["org_id"],
        format=row["format"],
        filter=wanted,
        paused=row["paused"],
        last_seq=row["last_seq"],
        forwarded_through=row["forwarded_through"],
        told_through=row["told_through"],
        created_at=row["created_at"],
        delivered_at=row["delivered_at"],
        error=row["error"],
        error_at=row["error_at"],
        replay=replay,
        test_id=row["test_id"],
        access=row["access"],
        replayed_through=row["replayed_through"],
        unusable=unusable,
    )


@lru_cache(FILTERS_CACHED_MAX)
def _filter(text: str) -> tuple[Filter, str | None]:
    """Return a stored filter, or why it is none any more: an action may have been renamed."""
    try:
        return Filter.model_validate(orjson.loads(text)), None
    except ValidationError:
        return Filter(), "this version does not understand its filter"
