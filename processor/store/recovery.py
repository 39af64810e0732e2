"""What an operator decides when a lane stops: a database behind Kafka, a topic created anew.

Needs the maintenance role.
"""

from collections.abc import Mapping
from typing import NamedTuple

from processor.store.pool import Database
from processor.store.sql import statements

LOST_COMMITS = "skipped: published before the database lost them"
CREATED_ANEW = "the topic was created anew"

_SQL = statements("recovery.sql")


class Recovered(NamedTuple):
    """Which lanes were moved, and where the heads stand that were lifted."""

    lanes: list[int]
    heads: dict[str, int]


async def last_stored(db: Database) -> dict[int, int | None]:
    """Return when each lane stored something or saw that it was complete: UNIX time in ms."""
    async with db.connection() as connection:
        return {row[0]: row[1] for row in await connection.fetch(_SQL["last_stored"])}


async def recover(
    db: Database,
    committed: Mapping[int, int],
    published: Mapping[str, int],
    *,
    margin: int = 0,
) -> Recovered:
    """Let the lanes go on after the database lost commits.

    ``committed``: each lane's batch number on Kafka. ``published``: the highest ``seq`` seen of
    each organization on the canonical topics; every organization is lifted by ``margin`` more, for
    what is not on the topics any more. The records behind the lost batches are read again from
    where the database stands and get new numbers; the skipped ones are kept in ``seq_gaps``.
    """
    async with db.transaction() as connection:
        await connection.execute(_SQL["lock_lanes"])
        lanes = await connection.fetch(
            _SQL["skip_batches"], list(committed), list(committed.values())
        )
        heads = await connection.fetch(
            _SQL["lift_heads"], list(published), list(published.values()), margin, LOST_COMMITS
        )
    return Recovered(
        sorted(row["lane"] for row in lanes), {row["org_id"]: row["last_seq"] for row in heads}
    )


async def reopen_partition(db: Database, topic: str, partition: int, first_offset: int) -> None:
    """Go on with a topic that was created anew, from its first offset; the counts stay."""
    async with db.transaction() as connection:
        await connection.execute(_SQL["lock_lanes"])
        await connection.execute(
            _SQL["close_partition"], topic, partition, first_offset, CREATED_ANEW
        )
        await connection.execute(_SQL["reopen_partition"], topic, partition, first_offset)
