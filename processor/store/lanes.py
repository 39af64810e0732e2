"""Where a lane stands: taking it over, what its last batch has yet to emit, its positions."""

import asyncio
import logging
from collections.abc import Mapping
from typing import NamedTuple

import asyncpg
import orjson

from processor.errors import DatabaseOutage, Fenced
from processor.store.dead_letters import Coordinates, read_dead_letters
from processor.store.pool import Database
from processor.store.rows import decode
from processor.store.sql import statements
from schemas.entry import Entry

__all__ = [
    "LaneState",
    "Position",
    "Range",
    "Unemitted",
    "caught_up",
    "read_dead_letters",
    "read_unemitted",
    "record_source_gap",
    "start_partition",
    "take_over",
]

log = logging.getLogger(__name__)

_SQL = statements("lanes.sql")
_PROBES_ONLY = statements("writer.sql")["probes_only"]

# A live predecessor ends its batch within this time; who holds the lane for longer is frozen.
PREDECESSOR_TIMEOUT_SECONDS = 2.0
# How often the backends in the way are looked up, and for how long in all.
END_BLOCKERS_INTERVAL_SECONDS = 0.05
END_BLOCKERS_TIMEOUT_SECONDS = 10.0

GONE_FROM_BUS = "gone from the bus before they were read"


class Range(NamedTuple):
    """Sequence numbers of one organization, both ends included."""

    first: int
    last: int


class Unemitted(NamedTuple):
    """What a batch stored and has to emit; contiguous ``seq`` per organization.

    ``at_ms`` is when it was stored, by its worker's clock; workers of before wrote none.
    """

    ranges: dict[str, Range]
    dead_letters: list[Coordinates]
    at_ms: int | None = None


class Position(NamedTuple):
    """Where a partition was begun, and the next offset to read."""

    first_offset: int
    stored_through: int


class LaneState(NamedTuple):
    """What the store knows of a lane at the moment of its take-over."""

    epoch: int
    batch: int
    unemitted: Unemitted
    positions: dict[str, Position]


class _LaneHeldError(Exception):
    """Somebody else holds the lane's row."""


def dump(unemitted: Unemitted) -> str:
    """Render for the lane's row."""
    ranges = {org_id: tuple(ends) for org_id, ends in unemitted.ranges.items()}
    lists = {"ranges": ranges, "dead_letters": unemitted.dead_letters}
    return orjson.dumps({**lists, "at": unemitted.at_ms}).decode()


def _load(text: str) -> Unemitted:
    """Return what the lane's row lists."""
    known = orjson.loads(text)
    ranges = {org_id: Range(*ends) for org_id, ends in known["ranges"].items()}
    dead_letters = [(topic, lane, offset) for topic, lane, offset in known["dead_letters"]]
    return Unemitted(ranges, dead_letters, known.get("at"))


async def take_over(db: Database, lane: int) -> LaneState:
    """Make this caller the lane's owner: every earlier one gets Fenced from now on.

    A predecessor in the middle of its batch is waited for; one that does not come to its end
    within two seconds (frozen: its backend may wait in COPY, where no time-out reaches it) has its
    backend ended, which rolls its batch back.
    """
    try:
        return await _take_over(db, lane, patience_seconds=PREDECESSOR_TIMEOUT_SECONDS)
    except _LaneHeldError:
        log.warning("lane_held", extra={"lane": lane})
    try:
        return await _take_over_by_force(db, lane)
    except _LaneHeldError as error:
        raise DatabaseOutage(
            f"lane {lane} is held by a database session that cannot be ended"
        ) from error


async def _take_over(
    db: Database,
    lane: int,
    *,
    patience_seconds: float,
    waiting: asyncio.Future[int] | None = None,
) -> LaneState:
    """Raise the epoch and read the lane's state in one transaction."""
    async with db.transaction() as connection:
        await connection.execute(
            "SELECT set_config('lock_timeout', $1, true)", f"{patience_seconds * 1000:.0f}"
        )
        if waiting is not None:
            waiting.set_result(connection.get_server_pid())
        try:
            row = await connection.fetchrow(_SQL["take_over"], lane)
        except asyncpg.LockNotAvailableError as error:
            raise _LaneHeldError from error
        positions = await connection.fetch(_SQL["positions"], lane)
    return LaneState(
        row["epoch"],
        row["batch"],
        _load(row["unemitted"]),
        {topic: Position(first, through) for topic, first, through in positions},
    )


async def _take_over_by_force(db: Database, lane: int) -> LaneState:
    """Take the lane over while ending, from a second connection, whoever is in the way."""
    waiting: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    ending = asyncio.create_task(_end_blockers(db, waiting))
    try:
        return await _take_over(
            db, lane, patience_seconds=END_BLOCKERS_TIMEOUT_SECONDS, waiting=waiting
        )
    finally:
        ending.cancel()
        await asyncio.gather(ending, return_exceptions=True)


async def _end_blockers(db: Database, waiting: asyncio.Future[int]) -> None:
    """End every backend that keeps the waiting one from its lock, until cancelled."""
    pid = await waiting
    async with db.login_connection() as connection:
        while True:
            for blocker in await connection.fetch(_SQL["end_blockers"], pid):
                log.warning(
                    "lane_predecessor_ended",
                    extra={"backend": blocker["pid"], "ended": blocker["ended"]},
                )
            await asyncio.sleep(END_BLOCKERS_INTERVAL_SECONDS)


async def read_unemitted(db: Database, ranges: Mapping[str, Range]) -> list[Entry]:
    """Return the entries with these sequence numbers, ordered by organization and ``seq``."""
    org_ids = list(ranges)
    firsts, lasts = [ranges[o].first for o in org_ids], [ranges[o].last for o in org_ids]
    async with db.transaction() as connection:
        await connection.execute(_PROBES_ONLY)
        rows = await connection.fetch(_SQL["unemitted"], org_ids, firsts, lasts)
    return [decode(row) for row in rows]


async def start_partition(
    db: Database, lane: int, epoch: int, topic: str, first_offset: int
) -> None:
    """Open the books of a partition at the first offset that will be read."""
    async with db.transaction() as connection:
        await _fence(connection, lane, epoch)
        await connection.execute(_SQL["start_partition"], topic, lane, first_offset)


async def record_source_gap(
    db: Database, lane: int, epoch: int, topic: str, *, from_offset: int, to_offset: int
) -> None:
    """Step over offsets that the bus has lost: recorded as a gap, counted as holes.

    ``to_offset`` is the first one that is there again.
    """
    async with db.transaction() as connection:
        await _fence(connection, lane, epoch)
        moved = await connection.execute(_SQL["skip_gap"], topic, lane, from_offset, to_offset)
        if moved != "UPDATE 1":
            raise RuntimeError(f"{topic}/{lane} does not stand at {from_offset} before {to_offset}")
        await connection.execute(
            _SQL["record_gap"], topic, lane, from_offset, to_offset, GONE_FROM_BUS
        )


async def caught_up(
    db: Database,
    lane: int,
    epoch: int,
    advances: Mapping[str, int],
    at: float,
    batch: int | None = None,
) -> None:
    """Record that everything before these positions (by topic) is stored, as of a UNIX time.

    Raises Fenced, too, when the lane's last batch is not ``batch``: the store lost commits. What
    lies between a partition's position and the one given held no record: counted as holes.
    """
    topics = sorted(advances)
    async with db.transaction() as connection:
        stored = await _fence(connection, lane, epoch)
        if batch is not None and stored != batch:
            raise Fenced(f"lane {lane}: batch {batch} was stored, the store has {stored}")
        moved = await connection.execute(
            _SQL["caught_up"], lane, topics, [advances[topic] for topic in topics], at
        )
        if moved != f"UPDATE {len(topics)}":
            raise RuntimeError(
                f"lane {lane} stands beyond its positions, or was not started: {topics}"
            )


async def _fence(connection: asyncpg.Connection, lane: int, epoch: int) -> int:
    """Hold the lane for this owner to the end of the transaction; return its last batch."""
    batch: int | None = await connection.fetchval(_SQL["fence"], lane, epoch)
    if batch is None:
        raise Fenced(f"lane {lane}: epoch {epoch} is over")
    return batch
