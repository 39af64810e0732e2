"""A worker whose tasks end in ways that nobody asked for, over clients that do so."""

import asyncio
from typing import Any

import pytest

from processor import worker
from processor.errors import BusOutage, LaneStopped
from processor.ingest.consumer import Fetched
from processor.settings import Settings
from processor.worker import Worker


async def cancelled_by_itself() -> None:
    """End as cancelled, as the client library's parts do."""
    inner = asyncio.ensure_future(asyncio.Event().wait())
    inner.cancel()
    await inner


class Member:
    """A member of the group that is given two lanes at once, and has no records for them."""

    joined = True

    def __init__(self, _settings: Settings, _topics: object, **listeners: Any) -> None:
        """Keep whom to tell."""
        self.assigned, self.revoked = listeners["on_assigned"], listeners["on_revoked"]

    async def start(self) -> None:
        """Join."""
        await self.assigned(frozenset({0, 1}))

    async def stop(self) -> None:
        """Leave."""

    async def poll(self) -> list[Fetched]:
        """Bring nothing."""
        await asyncio.sleep(0.01)
        return []

    async def ends(self) -> dict[int, dict[str, int]]:
        """Know of no records."""
        return {}

    def pause(self, lane: int) -> None:
        """Fetch nothing anyway."""


class FeedsNoMore(Member):
    """Its client's part that fetches ends as cancelled."""

    async def poll(self) -> list[Fetched]:
        """End so."""
        await cancelled_by_itself()
        return []


class AnswersNoMore(Member):
    """Its client's part that asks for offsets ends as cancelled."""

    async def ends(self) -> dict[int, dict[str, int]]:
        """End so."""
        await cancelled_by_itself()
        return {}


class Waiting:
    """A lane's producer that does not come to its start."""

    def __init__(self, _settings: Settings, lane: int) -> None:
        """Prepare."""
        self.lane = lane

    async def start(self) -> None:
        """Wait for ever."""
        await asyncio.Event().wait()

    async def abandon(self) -> None:
        """End."""


class OneIsCancelled(Waiting):
    """A producer that ends as cancelled on one lane of two."""

    async def start(self) -> None:
        """End so, or wait."""
        if self.lane == 1:
            await cancelled_by_itself()
        await super().start()


def working(consumer: Any = Member, producer: Any = Waiting) -> Worker:
    """Return a worker over clients of ours, which does not come as far as the store."""
    nothing: Any = None
    return Worker(Settings.load(env={}), nothing, nothing, consumer=consumer, producer=producer)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no lane have long for a batch that none of them has."""
    monkeypatch.setattr(worker, "STOP_SECONDS", 0.2)


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    ("consumer", "producer", "who"),
    [
        (Member, OneIsCancelled, "lane-1"),
        (FeedsNoMore, Waiting, "feeding"),
        (AnswersNoMore, Waiting, "keeping house"),
    ],
)
async def test_cancellation_that_nobody_asked_for_ends_the_worker(
    monkeypatch: pytest.MonkeyPatch, consumer: Any, producer: Any, who: str
) -> None:
    """A lane without its task would stand still for good, and look like one that is taken over."""
    monkeypatch.setattr(worker, "HOUSEKEEPING_SECONDS", 0.01)
    with pytest.raises(ExceptionGroup) as raised:
        await working(consumer, producer).run(asyncio.Event())
    (error,) = raised.value.exceptions
    assert str(error) == f"{who} was cancelled, which nobody asked for"


async def test_lane_that_is_given_back_may_be_cancelled() -> None:
    """What is cut off because it is wanted elsewhere, or at the end, is no crash."""
    stop = asyncio.Event()
    running = working()
    asyncio.get_running_loop().call_soon(stop.set)
    await running.run(stop)
    assert not running._crash.done()


@pytest.mark.timeout(10)
async def test_stopped_lane_keeps_no_deployment_waiting() -> None:
    """It waits for people, and may wait for what is deployed; one that waits for a server does."""

    class Stops(Waiting):
        """A producer whose lane stops, if it is not one that waits for the bus."""

        lanes: tuple[int, ...] = (0, 1)

        async def start(self) -> None:
            """Say why."""
            raise LaneStopped("of people") if self.lane in self.lanes else BusOutage("of the bus")

    class OneWaits(Stops):
        """The same, of two lanes one."""

        lanes = (0,)

    for producer, expected in (
        (Stops, (True, "0 lanes flow; lane 0 is stopped: of people; lane 1 is stopped: of people")),
        (OneWaits, (False, "lane 1 is bus: of the bus")),
    ):
        stop, running = asyncio.Event(), working(producer=producer)
        ending = asyncio.create_task(running.run(stop))
        for _ in range(100):  # turns of the loop, in which both lanes come to their end
            await asyncio.sleep(0)
        assert running.readiness() == expected
        stop.set()
        await ending


async def test_worker_that_ends_takes_no_lane_over() -> None:
    """Leaving the group finishes a rebalance: what it brings is not ours any more."""
    started: list[int] = []
    both = asyncio.Event()

    class Rejoins(Member):
        """A member that is in the midst of a rebalance when it leaves."""

        async def stop(self) -> None:
            """Be given lanes once more."""
            await self.revoked(frozenset())
            await self.assigned(frozenset({0, 1}))
            await asyncio.sleep(0)

    class Noted(Waiting):
        """A producer whose start is noted."""

        async def start(self) -> None:
            """Note it."""
            started.append(self.lane)
            if len(started) == 2:
                both.set()
            raise BusOutage("away")

    stop = asyncio.Event()
    running = working(Rejoins, Noted)
    ending = asyncio.create_task(running.run(stop))
    await both.wait()
    stop.set()
    await ending
    assert sorted(started) == [0, 1]
    assert not running._tasks


async def test_lanes_that_are_being_given_back_are_waited_for_at_the_end() -> None:
    """The worker leaves, and closes its store, behind the last of them."""
    noted: list[str] = []

    class Leaves(Member):
        """A member whose leaving is noted."""

        async def stop(self) -> None:
            """Note it."""
            noted.append("left")

    class Slow(Waiting):
        """A producer that takes a while to end on one lane of two."""

        async def start(self) -> None:
            """Do not come to a start."""
            raise BusOutage("away")

        async def abandon(self) -> None:
            """End, in a turn of the loop or in many."""
            for _ in range(1 + 100 * self.lane):
                await asyncio.sleep(0)
            noted.append(f"lane {self.lane}")

    stop = asyncio.Event()
    running = working(Leaves, Slow)
    ending = asyncio.create_task(running.run(stop))
    await asyncio.sleep(0)
    rebalance = asyncio.create_task(running._release(frozenset({1})))
    await asyncio.sleep(0)
    stop.set()
    await ending
    await rebalance
    assert noted == ["lane 0", "lane 1", "left"]
