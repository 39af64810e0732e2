"""A reader of the fake bus: what the client library offers a consumer without a group."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndTimestamp

from schemas.record import RawRecord
from tests.simulation.broker import Broker, Log
from tests.simulation.loop import Process
from tests.simulation.network import Network

FETCHED_MAX = 20


class FakeReader:
    """Reads what is committed, from offsets that it is told."""

    def __init__(self, process: Process, network: Network, broker: Broker, **_options: Any) -> None:
        """Prepare; the options are those of a real one."""
        self._process = process
        self._network = network
        self._broker = broker
        self._positions: dict[TopicPartition, int] = {}
        self._highwaters: dict[TopicPartition, int | None] = {}

    async def start(self) -> None:
        """Reach the bus."""
        await self._ask(lambda: None)

    async def stop(self) -> None:
        """End."""

    def assign(self, places: Iterable[TopicPartition]) -> None:
        """Hold partitions, at their beginning for now."""
        self._positions = dict.fromkeys(places, 0)

    async def end_offsets(self, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the last stable offsets."""
        found = await self._ask(lambda: {at: self._log(at).stable for at in places})
        return dict(found)

    async def beginning_offsets(
        self, places: Iterable[TopicPartition]
    ) -> dict[TopicPartition, int]:
        """Return the first offsets."""
        found = await self._ask(lambda: {at: self._log(at).begin for at in places})
        return dict(found)

    async def offsets_for_times(
        self, times: Mapping[TopicPartition, int]
    ) -> dict[TopicPartition, OffsetAndTimestamp | None]:
        """Return the first stable offset of each partition that is as young as asked for."""
        found = await self._ask(lambda: {at: self._since(at, ms) for at, ms in times.items()})
        return dict(found)

    def seek(self, place: TopicPartition, offset: int) -> None:
        """Set the next offset."""
        self._positions[place] = offset

    async def position(self, place: TopicPartition) -> int:
        """Return the next offset."""
        return self._positions[place]

    def highwater(self, place: TopicPartition) -> int | None:
        """Return where the log ended at the last answer, open transactions included."""
        return self._highwaters.get(place)

    async def getmany(
        self, place: TopicPartition, *, timeout_ms: int
    ) -> dict[TopicPartition, Sequence[RawRecord]]:
        """Return what comes next, waiting for it."""
        asked = self._positions[place]
        try:
            answer = await self._ask(lambda: self._fetched(place, asked))
        except ConnectionError:
            answer = [], asked, self._highwaters.get(place)  # the client asks again
        found, self._positions[place], self._highwaters[place] = answer
        if not found:
            await asyncio.sleep(timeout_ms / 1000)
        return {place: found} if found else {}

    def _fetched(self, place: TopicPartition, asked: int) -> tuple[list[RawRecord], int, int]:
        at = place.topic, place.partition
        return *self._broker.read(at, asked, FETCHED_MAX), self._log(place).end

    def _since(self, place: TopicPartition, at_ms: int) -> OffsetAndTimestamp | None:
        log = self._log(place)
        for offset in range(log.begin, log.stable):
            item = log.items[offset]
            if item is not None and item[0].timestamp >= at_ms:
                return OffsetAndTimestamp(offset, item[0].timestamp)
        return None

    def _log(self, place: TopicPartition) -> Log:
        return self._broker.logs[place.topic, place.partition]

    async def _ask(self, act: Callable[[], Any]) -> Any:
        return await self._network.ask(self._process, act)
