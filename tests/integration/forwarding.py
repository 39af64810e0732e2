"""A forwarder's environment: organizations with subscriptions, and what their SIEMs read."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from processor.emit import topics
from processor.forward.shard import Shard
from processor.settings import Settings
from processor.store import subscriptions as store
from processor.store.load import load
from processor.store.pool import FORWARDER, WRITER, Database
from processor.store.subscriptions import Subscription
from schemas.catalogue import FormatName
from schemas.subscription import Filter, topic_of
from tests.integration import bus
from tests.integration.ops import cleaned
from tests.integration.store import an_entry

ORG = "acme"
SHARD = 0


class Subscriber:
    """An organization's SIEM, as one that reads committed records of its topic."""

    def __init__(self, settings: Settings, org_id: str = ORG, name: FormatName = "hub") -> None:
        """Remember whose topic it is."""
        self.topic = settings.topic(topic_of(org_id, name))
        self._bootstrap = settings.kafka.bootstrap_servers

    def records(self) -> list[dict[str, str]]:
        """Return the headers of all records, and their values under an empty name."""
        return [
            {name: value.decode() for name, value in bus.headers_of(record).items()}
            | {"": bus.value_of(record).decode()}
            for record in bus.read(self._bootstrap, [self.topic])
        ]

    def live(self) -> list[dict[str, str]]:
        """Return the records of entries that were sent for the first time."""
        return [
            record
            for record in self.records()
            if not {"hub_replay", "hub_test", "hub_heartbeat"} & record.keys()
        ]

    def seqs(self) -> list[int]:
        """Return the numbers of the entries in the order in which they came."""
        return [int(record["hub_seq"]) for record in self.live()]

    def assert_complete(self, through: int) -> None:
        """Check that no record is missing in the chain, and that it reaches ``through``."""
        chain = [
            (int(record["hub_previous_seq"]), int(record["hub_through_seq"]))
            for record in self.records()
            if not {"hub_replay", "hub_test"} & record.keys()
        ]
        for (_, told), (previous, _) in itertools.pairwise(chain):
            assert previous == told
        assert chain[-1][1] == through


class World:
    """One environment: a database, topics with a prefix of their own, shards at hand."""

    def __init__(self, settings: Settings, writer: Database, forwarder: Database) -> None:
        """Keep what a test needs."""
        self.settings, self._writer, self.db = settings, writer, forwarder
        self._stored = 0

    async def subscribe(
        self, org_id: str = ORG, name: FormatName = "hub", wanted: Filter | None = None
    ) -> Subscriber:
        """Create a subscription and its topic."""
        topic = self.settings.topic(topic_of(org_id, name))
        await topics.create_siem(self.settings, topic)
        assert await store.create(self.db, org_id, name, SHARD, wanted or Filter())
        return Subscriber(self.settings, org_id, name)

    async def happen(self, count: int, org_id: str = ORG, **entry: Any) -> None:
        """Store so many entries of an organization."""
        first = self._stored
        self._stored += count
        made = [an_entry(org_id, f"evt-{first + n}", **entry) for n in range(count)]
        assert await load(self._writer, made) == count

    async def subscribe_again(self, org_id: str = ORG, name: FormatName = "hub") -> None:
        """Create a subscription whose topic is there already."""
        assert await store.create(self.db, org_id, name, SHARD, Filter())

    async def until(
        self, holds: Callable[[Subscription], bool], org_id: str = ORG, seconds: float = 30
    ) -> None:
        """Wait until a subscription stands so."""
        async with asyncio.timeout(seconds):
            while not holds(await self.standing(org_id)):  # noqa: ASYNC110 - in Postgres
                await asyncio.sleep(0.05)

    async def standing(self, org_id: str = ORG, name: FormatName = "hub") -> Subscription:
        """Return how a subscription stands in Postgres."""
        listed = await store.listed(self.db, org_id)
        (found,) = [each for each in listed if each.format == str(name)]
        return found

    async def rounds(self, shard: Shard) -> None:
        """Have a shard do all there is to do."""
        while await shard.round():
            pass

    async def until_tried(self, shard: Shard) -> None:
        """Have a shard try again at once what it has set aside, and do all there is to do."""
        shard._standing._put_off.clear()
        await self.rounds(shard)

    async def execute(self, sql: str, *given: object) -> None:
        """Change the forwarder's tables by hand."""
        async with self.db.connection() as connection:
            await connection.execute(sql, *given)


@asynccontextmanager
async def a_world(settings: Settings) -> AsyncIterator[World]:
    """Give an environment, and leave nothing of it behind."""
    dsn = settings.postgres.dsn.get_secret_value()
    writer = await Database.open(dsn, role=WRITER)
    forwarder = await Database.open(dsn, role=FORWARDER)
    with cleaned(settings):
        yield World(settings, writer, forwarder)
        await forwarder.close()
        await writer.close()


@asynccontextmanager
async def begun(world: World) -> AsyncIterator[Shard]:
    """Have a shard that has begun, for the length of a block."""
    shard = Shard(world.settings, world.db, SHARD)
    await shard.begin()
    try:
        yield shard
    finally:
        await shard.end()


async def lift_head(world: World, org_id: str, numbers: int) -> None:
    """Skip numbers of an organization, as recovering from lost commits does."""
    admin = await asyncpg.connect(world.settings.postgres.dsn.get_secret_value())
    try:
        head = await admin.fetchval("SELECT last_seq FROM org_heads WHERE org_id = $1", org_id)
        await admin.execute(
            "INSERT INTO seq_gaps (org_id, reason, seqs) SELECT $1, 'recovered', "
            "int8multirange(int8range($2::bigint + 1, $2::bigint + $3::bigint, '[]'))",
            *(org_id, head, numbers),
        )
        await admin.execute(
            "UPDATE org_heads SET last_seq = last_seq + $2 WHERE org_id = $1", org_id, numbers
        )
    finally:
        await admin.close()
