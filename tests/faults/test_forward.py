"""Two forwarders that are killed and frozen while entries and orders keep coming."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from processor.emit import topics
from processor.emit.route import murmur2
from processor.forward.shard import Shard
from processor.local.kafka import Broker
from processor.settings import Settings
from processor.store import subscriptions as store
from processor.store.load import load
from processor.store.pool import FORWARDER, WRITER, Database
from processor.store.subscriptions import Subscription
from schemas.subscription import Filter, topic_of
from tests.faults import judge_siem, observe, siem
from tests.faults.forwarders import Forwarder, environment_of
from tests.faults.verdict import Verdict
from tests.faults.world import Siem
from tests.integration.forwarding import SHARD, World
from tests.integration.ops import cleaned, settings_of
from tests.integration.store import an_entry

pytestmark = pytest.mark.timeout(120)

ORGANIZATIONS = {"acme": None, "globex": None, "initech": "user.created"}
"""By name the one action its subscription is for."""

SEED = 5
SECONDS, STRIKES = 8.0, 2
"""What happens goes on for so long, and until that many were killed, and as many frozen."""

STORY_SECONDS_MAX = 60.0
ORDER_SECONDS, STORE_SECONDS = 0.3, 0.05
END_SECONDS = 40.0
LOG_CHARACTERS = 6_000
"""What is shown of each forwarder's log where they do not come to an end."""


class Story:
    """Entries, orders and faults, all from one seed."""

    def __init__(self, settings: Settings, writer: Database, db: Database, seed: int) -> None:
        """Begin with nothing."""
        self._settings, self._writer, self.db = settings, writer, db
        self._chance = Random(seed)
        self._stored = 0

    async def subscribe(self) -> None:
        """Create the subscriptions, after some entries that none of them gets."""
        for org_id, action in ORGANIZATIONS.items():
            await self.store(org_id, 3)
            await topics.create_siem(self._settings, self.topic(org_id))
            wanted = Filter(actions=(action,) if action else ())
            assert await store.create(self.db, org_id, "hub", murmur2(org_id.encode()), wanted)

    def topic(self, org_id: str) -> str:
        """Return the topic of an organization's subscription."""
        return self._settings.topic(topic_of(org_id, "hub"))

    async def store(self, org_id: str, count: int) -> None:
        """Store entries, every third of which is a new user."""
        made = []
        for number in range(self._stored, self._stored + count):
            users: dict[str, Any] = (
                {"action": "user.created", "category": "users"} if number % 3 == 0 else {}
            )
            made.append(an_entry(org_id, f"e{number}", **users))
        self._stored += count
        await load(self._writer, made)

    async def go_on(self) -> None:
        """Store some entries of somebody."""
        await self.store(self._chance.choice(list(ORGANIZATIONS)), self._chance.randint(1, 6))

    async def order(self) -> None:
        """Order something of some subscription."""
        org_id = self._chance.choice(list(ORGANIZATIONS))
        match self._chance.choice(["pause", "resume", "resume", "replay", "test"]):
            case "replay":
                (each,) = await store.listed(self.db, org_id)
                if each.forwarded_through > 3:
                    after = self._chance.randint(3, each.forwarded_through - 1)
                    await store.order_replay(self.db, org_id, "hub", after, None)
            case "test":
                await store.order_test(self.db, org_id, "hub")
            case pause:
                await store.set_paused(self.db, org_id, "hub", paused=pause == "pause")

    def rows(self, org_id: str) -> list[dict[str, Any]]:
        """Return what is stored of an organization."""
        dsn = self._settings.postgres.dsn.get_secret_value()
        with observe.connected(dsn) as connection:
            rows = connection.execute(observe.ROWS).fetchall()
        return [row for row in rows if row["org_id"] == org_id]

    async def ended(self, forwarders: list[Forwarder]) -> None:
        """Let all go on, and wait until everything wanted is delivered and said."""
        for org_id in ORGANIZATIONS:
            await store.set_paused(self.db, org_id, "hub", paused=False)
        for one in forwarders:
            one.calm_down()
        until = time.monotonic() + END_SECONDS
        while lacking := [each for each in await store.listed(self.db) if not is_done(each)]:
            assert time.monotonic() < until, said_of(lacking, forwarders)
            for one in forwarders:
                one.tend(time.monotonic())
            await asyncio.sleep(0.1)


def is_done(each: Subscription) -> bool:
    """Tell whether a subscription has all there is, its subscriber knows it, no order waits."""
    reached = each.last_seq == each.forwarded_through == each.told_through
    return reached and each.replay is None and each.test_id is None


def said_of(lacking: list[Subscription], forwarders: list[Forwarder]) -> str:
    """Return what is not done, and what the forwarders said at last."""
    logs = [one.log.read_text()[-LOG_CHARACTERS:] for one in forwarders]
    return "\n".join([*map(str, lacking), *logs])


@pytest.fixture
async def story(kafka: str, postgres_dsn: str) -> AsyncIterator[Story]:
    """Give an environment in which things may happen."""
    settings = settings_of(kafka, postgres_dsn)
    writer = await Database.open(postgres_dsn, role=WRITER)
    db = await Database.open(postgres_dsn, role=FORWARDER)
    with cleaned(settings):
        yield Story(settings, writer, db, seed=SEED)
        await db.close()
        await writer.close()


async def test_killed_and_frozen_forwarders_lose_and_repeat_nothing(
    story: Story, tmp_path: Path
) -> None:
    """Every wanted entry comes once live, in order, in one chain; replays and tests are whole."""
    settings = story._settings
    await story.subscribe()
    environment = environment_of(settings)
    forwarders = [Forwarder(environment, tmp_path / f"forward-{n}.log", SEED + n) for n in range(2)]
    try:
        await play(story, forwarders)
        await story.ended(forwarders)
    finally:
        for one in forwarders:
            one.kill()
    for org_id, action in ORGANIZATIONS.items():
        told = list(siem.told(settings.kafka.bootstrap_servers, story.topic(org_id), "hub"))
        each = Siem(org_id, "hub", 3, {"actions": [action]} if action else {}, told)
        rows = story.rows(org_id)
        verdict = Verdict()
        head = max(row["seq"] for row in rows)
        judge_siem.chains(each, judge_siem.wanted(rows, each), head, verdict)
        assert verdict.clean, verdict


async def play(story: Story, forwarders: list[Forwarder]) -> None:
    """Have everything happen at once for a while."""
    began = time.monotonic()
    next_order = ORDER_SECONDS
    while (now := time.monotonic() - began) < SECONDS or not enough(forwarders):
        assert now < STORY_SECONDS_MAX, "too few strikes"
        await story.go_on()
        for one in forwarders:
            one.tend(time.monotonic())
        if now >= next_order:
            await story.order()
            next_order += ORDER_SECONDS
        await asyncio.sleep(STORE_SECONDS)


def enough(forwarders: list[Forwarder]) -> bool:
    """Tell whether as much has befallen the forwarders as is wanted."""
    kills, freezes = (sum(counts) for counts in zip(*map(strikes_of, forwarders), strict=True))
    return bool(min(kills, freezes) >= STRIKES)


def strikes_of(one: Forwarder) -> tuple[int, int]:
    """Return how often a forwarder was killed and frozen."""
    return one.kills, one.freezes


async def test_broker_that_dies_costs_no_entry_and_blames_nobody(
    broker: Broker, postgres_dsn: str
) -> None:
    """What comes while the bus is away is delivered when it is back, once, and nothing "fails"."""
    settings = settings_of(broker.bootstrap_servers, postgres_dsn)
    writer = await Database.open(postgres_dsn, role=WRITER)
    db = await Database.open(postgres_dsn, role=FORWARDER)
    world = World(settings, writer, db)
    running: asyncio.Task[None] | None = None
    try:
        siem = await world.subscribe()
        await world.happen(5)
        running = asyncio.create_task(Shard(settings, db, SHARD).run())
        await world.until(lambda each: each.forwarded_through == 5)
        await asyncio.to_thread(broker.kill)
        await world.happen(5)
        await asyncio.to_thread(broker.start)
        await world.until(lambda each: each.forwarded_through == 10)
        assert siem.seqs() == list(range(1, 11))
        siem.assert_complete(10)
        assert (await world.standing()).state == "active"
    finally:
        if running is not None:
            running.cancel()
            await asyncio.wait([running])
        await db.close()
        await writer.close()
