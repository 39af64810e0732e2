"""What the group's consumer hands over, with the client's own fetcher before a bus of ours."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import Fetcher

from processor.errors import LaneStopped, Outage
from processor.ingest.consumer import Consumer
from processor.settings import Settings
from tests.unit.batches import batch, damaged

TOPIC = "raw.identity"
GOOD, BAD = TopicPartition(TOPIC, 0), TopicPartition(TOPIC, 1)
POLLS = 8
"""More than it takes to fetch everything that is there."""


class Bus:
    """Answers fetches as the client's connections do: partitions in order, batches whole."""

    def __init__(self) -> None:
        """Begin with nothing on it."""
        self.logs: dict[TopicPartition, list[bytes]] = {GOOD: [], BAD: []}
        self._loop = asyncio.get_running_loop()
        self._metadata_max_age_ms = 60_000
        self.cluster = SimpleNamespace(leader_for_partition=lambda _: 0)

    async def send(self, _node: int, request: Any) -> Any:
        """Answer a fetch."""
        ((topic, wanted),) = request.topics
        answers = [self._answer(lane, offset) for lane, offset, _ in sorted(wanted)]
        if not any(answer[-1] for answer in answers):
            await asyncio.sleep(0.02)
        return SimpleNamespace(API_VERSION=4, topics=[(topic, answers)])

    def _answer(self, lane: int, offset: int) -> tuple[int, int, int, int, list[Any], bytes]:
        log = self.logs[TopicPartition(TOPIC, lane)]
        rest = [each for each in log if _end(each) > offset]
        return lane, 0, 1_000, 1_000, [], b"".join(rest)


def _end(whole: bytes) -> int:
    """Return the offset behind a batch."""
    return int.from_bytes(whole[:8], "big") + int.from_bytes(whole[23:27], "big") + 1


class Reading:
    """A consumer with two lanes, and what it has handed over and said."""

    def __init__(self, bus: Bus) -> None:
        """Make it, with the client's fetcher before our bus."""
        self.troubles: list[tuple[int, Outage | LaneStopped]] = []
        self.offsets: dict[int, list[int]] = {0: [], 1: []}
        self.consumer = Consumer(
            Settings.load(env={}),
            [TOPIC],
            on_assigned=self._ignore,
            on_revoked=self._ignore,
            on_trouble=lambda *trouble: self.troubles.append(trouble),
        )
        client = self.client = self.consumer._consumer
        client._subscription.subscribe({TOPIC})
        client._subscription.assign_from_subscribed({GOOD, BAD})
        client._fetcher = Fetcher(
            bus, client._subscription, auto_offset_reset="none", isolation_level="read_committed"
        )
        client._coordinator = SimpleNamespace(check_errors=lambda: None, close=self._close)
        for lane in self.offsets:
            self.consumer.seek(lane, {TOPIC: 0})

    async def poll(self, times: int = POLLS) -> dict[int, list[int]]:
        """Poll, and return all that has been handed over so far."""
        for _ in range(times):
            for _, lane, records in await self.consumer.poll():
                self.offsets[lane] += [record.offset for record in records]
        return self.offsets

    async def _ignore(self, _lanes: frozenset[int]) -> None:
        """Have lanes."""

    async def _close(self) -> None:
        """Leave no group."""


@pytest.fixture
async def bus() -> Bus:
    """Give a bus."""
    return Bus()


@pytest.fixture
async def reading(bus: Bus) -> AsyncIterator[Reading]:
    """Give a consumer on it."""
    reading = Reading(bus)
    yield reading
    await reading.consumer.stop()


async def test_what_cannot_be_unpacked_takes_nothing_along(bus: Bus, reading: Reading) -> None:
    """A damaged batch of one lane: what came before it and beside it is handed over, once."""
    bus.logs[GOOD] += [batch(0, b"a", b"b", b"c")]
    bus.logs[BAD] += [batch(0, b"a", b"b"), damaged(batch(2, b"c", b"d")), batch(4, b"e")]
    assert await reading.poll() == {0: [0, 1, 2], 1: [0, 1]}
    bus.logs[GOOD] += [batch(3, b"d")]
    assert await reading.poll() == {0: [0, 1, 2, 3], 1: [0, 1]}
    ((lane, trouble),) = reading.troubles
    assert (lane, type(trouble)) == (1, LaneStopped)
    assert "raw.identity/1 cannot be read at offset 2: CorruptRecord" in str(trouble)
    assert "before offset 4" in str(trouble)


async def test_a_lane_that_is_tried_again_goes_on_behind_it(bus: Bus, reading: Reading) -> None:
    """Mended, or given up: what lies behind is read once the lane is sought and resumed."""
    bus.logs[BAD] += [damaged(batch(0, b"a")), batch(1, b"b")]
    assert await reading.poll() == {0: [], 1: []}
    reading.consumer.seek(1, {TOPIC: 1})
    reading.consumer.resume(1)
    assert await reading.poll() == {0: [], 1: [1]}


async def test_records_that_were_drained_and_not_handed_over_are_missed(
    bus: Bus, reading: Reading
) -> None:
    """Positions that moved by themselves: the lane has to be taken over again."""
    bus.logs[GOOD] += [batch(0, b"a", b"b")]
    while await reading.client.position(GOOD) == 0:
        await reading.client.getmany(timeout_ms=50)
    bus.logs[GOOD] += [batch(2, b"c")]
    await reading.poll()
    ((lane, trouble),) = reading.troubles
    assert (lane, type(trouble)) == (0, Outage)
    assert str(trouble) == "raw.identity was read on at 2 and not at 0"


async def test_a_batch_that_is_passed_over_is_missed(bus: Bus, reading: Reading) -> None:
    """The client steps over one that does not come whole, and says it once."""
    whole = batch(0, b"a")
    bus.logs[GOOD] += [whole[:-1]]
    await reading.poll(times=2)
    bus.logs[GOOD][:] = [whole, batch(1, b"b")]
    await reading.poll()
    assert [(lane, type(trouble)) for lane, trouble in reading.troubles] == [(0, Outage)]


async def test_holes_are_no_trouble(bus: Bus, reading: Reading) -> None:
    """A transaction's marks, and what it gave up, are offsets without records."""
    bus.logs[GOOD] += [batch(0, b"a"), batch(5, b"b"), batch(9, b"c")]
    assert await reading.poll() == {0: [0, 5, 9], 1: []}
    assert reading.troubles == []
