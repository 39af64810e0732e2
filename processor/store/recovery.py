"""What an operator decides when a lane stops: a database behind Kafka, a log that is another one.

Needs the maintenance role.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import asyncpg

from processor.errors import StartRefused
from processor.store.entries import existing
from processor.store.pool import Database
from processor.store.resolve import Candidate, identity, is_made_of, resolve
from processor.store.sql import statements
from schemas.record import Record

LOST_COMMITS = "skipped: published before the database lost them"

_SQL = statements("recovery.sql")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class LostBatches(NamedTuple):
    """A lane of which more was published than is stored."""

    lane: int
    stored: int
    published: int


class Reopening(NamedTuple):
    """A raw partition that goes on elsewhere than where it was stored through, and why."""

    topic: str
    partition: int
    stored_through: int
    at: int
    reason: str


class Recovered(NamedTuple):
    """Which lanes were moved, and where the heads stand that were lifted."""

    lanes: list[int]
    heads: dict[str, int]


class Known(NamedTuple):
    """Of a partition's records, by offset: those with a row of their own, and those that want one.

    What is neither is a duplicate of something else, or no audit event.
    """

    own: set[int]
    wanting: set[int]


async def last_stored(db: Database) -> dict[int, int | None]:
    """Return when each lane stored something or saw that it was complete: UNIX time in ms."""
    async with db.connection() as connection:
        return {row[0]: row[1] for row in await connection.fetch(_SQL["last_stored"])}


async def known(
    db: Database, records: Sequence[Record], candidates: Sequence[Candidate], rejected: set[int]
) -> Known:
    """Compare records of one raw partition with the rows there are.

    ``candidates`` are those that would be entries; ``rejected`` has the offsets of those that would
    be dead letters.
    """
    async with db.transaction() as connection:
        standing = await existing(connection, candidates)
        own = await _letters(connection, records)
    rest = []
    for candidate in candidates:
        other = standing.get(identity(candidate.entry))
        if other is not None and is_made_of(other, candidate.entry, candidate.record):
            own.add(candidate.record.offset)
        elif candidate.record.offset not in own:
            rest.append(candidate)
    fresh, _, conflicts = resolve(rest, standing)
    new = {candidate.record.offset for candidate in fresh}
    new.update(letter.record.offset for letter in conflicts)
    return Known(own, (new | rejected) - own)


async def _letters(connection: asyncpg.Connection, records: Sequence[Record]) -> set[int]:
    """Return the offsets of those records of a partition that are dead letters."""
    times = [_EPOCH + timedelta(milliseconds=record.timestamp) for record in records]
    rows = await connection.fetch(
        _SQL["letters"],
        records[0].topic,
        records[0].partition,
        [record.offset for record in records],
        times,
    )
    return {row[0] for row in rows}


async def recover(
    db: Database,
    lost: Sequence[LostBatches],
    published: Mapping[str, int],
    reopened: Sequence[Reopening] = (),
    *,
    margin: int = 0,
) -> Recovered:
    """Let the lanes go on, all of it or nothing; refuse where one has moved since it was looked at.

    ``published``: the highest ``seq`` of each organization that anybody was told; where there is
    any, or batches are lost, every organization is lifted by ``margin`` more, for what is not on
    the topics any more. The records behind the lost batches are read again from where the database
    stands and get new numbers; the skipped ones are kept in ``seq_gaps``.
    """
    async with db.transaction() as connection:
        await connection.execute(_SQL["lock_lanes"])
        if lost:
            await _skip(connection, lost)
        heads = await _lift(connection, published, margin) if lost or published else {}
        for partition in reopened:
            await _reopen(connection, partition)
    return Recovered(sorted(lane for lane, _, _ in lost), heads)


async def _skip(connection: asyncpg.Connection, lost: Sequence[LostBatches]) -> None:
    """Move lanes behind what is published."""
    lanes = await connection.fetch(_SQL["skip_batches"], *zip(*lost, strict=True))
    if moved := {lane for lane, _, _ in lost} - {row["lane"] for row in lanes}:
        raise _moved(f"lanes {', '.join(map(str, sorted(moved)))}")


async def _lift(
    connection: asyncpg.Connection, published: Mapping[str, int], margin: int
) -> dict[str, int]:
    """Move heads above what is published; return where those stand that were moved."""
    heads = await connection.fetch(
        _SQL["lift_heads"], list(published), list(published.values()), margin, LOST_COMMITS
    )
    return {row["org_id"]: row["last_seq"] for row in heads}


async def _reopen(connection: asyncpg.Connection, reopening: Reopening) -> None:
    """Let a partition go on elsewhere; its counts stay."""
    topic, partition, stored_through, at, reason = reopening
    await connection.execute(_SQL["fence_lane"], partition)
    await connection.execute(_SQL["close_partition"], topic, partition, stored_through, at, reason)
    moved = await connection.execute(_SQL["reopen_partition"], topic, partition, stored_through, at)
    if moved != "UPDATE 1":
        raise _moved(f"{topic}/{partition}")


def _moved(what: str) -> StartRefused:
    problem = (
        f"{what} moved after it was looked at, nothing was changed: somebody else has recovered, or"
        " a worker runs. See that none does, and run `hub-audit recover` again"
    )
    return StartRefused([problem])
