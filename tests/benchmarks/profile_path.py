"""Our own share of the path, stage by stage, in memory: what an optimization is tried on.

``python -m tests.benchmarks.profile_path --events 100000 --rounds 5 [--functions 40]``

Batches of a lane go through the very functions that the worker calls, with the garbage collector
set as it is there. What is not in here is the waiting, asyncpg, the sockets and the event loop.
Times are of this thread's processor, the least of all rounds: others may use the machine as well.
Even so a busy machine is up to four times slower, so each stage is also given in yardsticks: how
many times it takes to parse the same values by ``orjson.loads``. That ratio is steady.
"""

import argparse
import asyncio
import cProfile
import gc
import pstats
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.structs import ConsumerRecord

from processor import metrics, pipeline
from processor.emit.producer import BATCH_BYTES_MAX, LaneProducer
from processor.emit.route import partition_of_key, unnumbered
from processor.ingest.decode import decode
from processor.ingest.intake import Intake
from processor.lifecycle import GARBAGE_THRESHOLD
from processor.normalize import Limits, normalize
from processor.settings import Settings
from processor.store.entries import _numbered, _numbers, encoded
from processor.store.writer import Stored
from schemas.record import Record
from schemas.rejection import Discard
from tests.benchmarks.events import ORGANIZATIONS, events

FAMILIES = ("identity", "permission", "billing", "audit")
FETCH_RECORDS = 500
DAY_MS = 86_400_000
Batch = list[tuple[str, bytes]]


class Profile:
    """Time by stage."""

    def __init__(self, settings: Settings, producer: AIOKafkaProducer, now_ms: int) -> None:
        """Prepare the parts that a worker has for as long as it lives."""
        self.spent: dict[str, float] = defaultdict(float)
        self.records: dict[str, int] = defaultdict(int)
        limits = Limits(90 * DAY_MS, 0, {f"raw.{family}": family for family in FAMILIES})
        self._limits = limits
        self._pipeline = pipeline.Pipeline(settings, None, limits)  # type: ignore[arg-type]
        self._settings, self._producer, self._now_ms = settings, producer, now_ms
        self._size = 0

    def timed(self, stage: str, work: Callable[..., Any], *given: Any) -> Any:
        """Do the work and note how long it took."""
        began = time.thread_time()
        result = work(*given)
        self.spent[stage] += time.thread_time() - began
        self.records[stage] += self._size
        return result

    def batch(self, lane: int, fetched: Batch, first: int) -> None:
        """Take a batch of one lane down the path, from the fetched bytes to those to be sent."""
        self._size = sum(MemoryRecords(block).next_batch().next_offset for _, block in fetched)
        records = self.timed("client: unpack", unpacked, lane, fetched, first, self._now_ms)
        records = self.timed("intake", queued, records)
        self.timed(YARDSTICK, parsed, records)
        # A second look at the same batch would find everything in the caches.
        if self.records[SORT] < self.records["decode"]:
            outcome = self.timed(SORT, self._sort, records)
        else:
            self._by_step(records)
            outcome = self._sort(records)
        positions = {record.topic: 0 for record in records}
        holding = pipeline.Holding(lane, 1, positions)
        batch = self.timed("order and advances", made, outcome, holding, records)
        seqs = self.timed("number", _numbers, batch.entries, HEADS)
        rows = self.timed("rows: number", _numbered, batch.entries, seqs)
        self.timed("rows: join", b"".join, rows)
        lane_producer = LaneProducer(self._settings, lane)
        leaving = pipeline._numbered(outcome.ready, seqs)
        packed = self.timed(APPEND, lane_producer._batches, self._producer, leaving)
        self.timed("client: seal", sealed, packed)
        stored = Stored(1, seqs, [], 0)
        self.timed("metrics", count, records, holding, outcome, stored, self._settings.lanes)

    def _by_step(self, records: list[Record]) -> None:
        """Take slices down the first half of the path, as ``_sort_out`` does, step by step."""
        whole = self._size
        for start in range(0, len(records), pipeline.SLICE_RECORDS):
            part = records[start : start + pipeline.SLICE_RECORDS]
            self._size = len(part)
            decoded = self.timed("decode", decode_all, part)
            entries = self.timed("normalize", normalize_all, decoded, self._limits)
            self.timed("encode: row and canonical JSON", encode_all, entries)
            self.timed("encode: the event's headers", route_all, entries)
        self._size = whole

    def _sort(self, records: list[Record]) -> pipeline.Sorted:
        """Run the coroutine by hand: it only gives way to others, of whom there are none."""
        sorting = self._pipeline._sort_out(records)
        while True:
            try:
                sorting.send(None)
            except StopIteration as ended:
                outcome: pipeline.Sorted = ended.value
                return outcome

    def stages(self) -> dict[str, float]:
        """Return microseconds per event; what other stages contain is left out of a stage."""
        us = {stage: seconds / self.records[stage] * 1e6 for stage, seconds in self.spent.items()}
        steps = [name for name in us if name.startswith(("decode", "normalize", "encode"))]
        us["sort out: tally"] = us.pop(SORT) - sum(us[name] for name in steps)
        return us


HEADS = {f"org-{number:05d}": 7 for number in range(ORGANIZATIONS)}
YARDSTICK = "orjson.loads"
SORT, APPEND = "sort out: decode, normalize, encode and tally", "client: number and append"


def unpacked(lane: int, fetched: Batch, first: int, now_ms: int) -> list[Any]:
    """Unpack record batches as the client's fetcher does."""
    records = []
    for topic, block in fetched:
        parts = MemoryRecords(block)
        while parts.has_next():
            part = parts.next_batch()
            part.validate_crc()
            for at in part:
                key, value = at.key, at.value
                sizes = len(key or b""), len(value or b"")
                position = topic, lane, first + at.offset
                headers = at.headers
                records.append(
                    ConsumerRecord(*position, now_ms, 1, key, value, at.checksum, *sizes, headers)
                )
    return records


def queued(records: list[Record]) -> list[Record]:
    """Send records through a lane's queue."""
    intake = Intake(records_max=len(records), bytes_max=1 << 30)
    intake.offer(records)
    return intake._next_batch()


def parsed(records: list[Record]) -> list[Any]:
    """Parse the values and do nothing else."""
    return [orjson.loads(record.value or b"") for record in records]


def decode_all(records: list[Record]) -> list[Any]:
    """Decode a slice."""
    return [decode(record, "raw.redrive") for record in records]


def normalize_all(decoded: list[Any], limits: Limits) -> list[Any]:
    """Normalize a slice."""
    ends = [(normalize(event, limits), event.record) for event in decoded]
    return [end for end in ends if not isinstance(end[0], Discard)]


def encode_all(entries: list[Any]) -> list[Any]:
    """Encode a slice for the store."""
    return [encoded(entry, record) for entry, record in entries]


def route_all(entries: list[Any]) -> list[Any]:
    """Prepare the events of a slice."""
    return [unnumbered(entry, b"") for entry, _ in entries]


def made(outcome: pipeline.Sorted, holding: pipeline.Holding, records: list[Record]) -> Any:
    """Order a batch for the store."""
    outcome.ready.sort(key=pipeline._bus_order)
    advances = pipeline._advances(records, holding.positions, outcome.discards)
    return pipeline._batch(outcome, holding, advances, 0)


def sealed(packed: list[tuple[str, int, Any]]) -> list[bytes]:
    """Close the batches as the client does before it sends them."""
    return [builder._build() for _, _, builder in packed]


def count(*given: Any) -> None:
    """Count a batch in the metrics."""
    metrics.batch_done(pipeline._counted(*given))


def batches(count: int, size: int, lanes: int, producer: AIOKafkaProducer) -> Iterator[Any]:
    """Yield for each batch its lane and, by topic, the record batches that a fetch would bring."""
    by_lane: dict[int, list[Any]] = defaultdict(list)
    for event in events(1, count, int(time.time() * 1000)):
        lane = partition_of_key(event.key, lanes)
        by_lane[lane].append(event)
        if len(by_lane[lane]) == size:
            yield lane, fetched(by_lane.pop(lane), producer)


def fetched(lane_events: list[Any], producer: AIOKafkaProducer) -> Batch:
    """Pack events as a broker holds them."""
    blocks: Batch = []
    for topic in sorted({event.topic for event in lane_events}):
        left = (event for event in lane_events if event.topic == topic)
        while part := list(islice(left, FETCH_RECORDS)):
            builder = producer.create_batch()
            for event in part:
                builder.append(timestamp=None, key=event.key, value=event.value, headers=[])
            blocks.append((topic, bytes(builder._build())))
    return blocks


async def measure(asked: argparse.Namespace) -> None:
    """Run the rounds and print the table; with ``--functions`` profile one round more."""
    settings = Settings.load(env={})
    producer = AIOKafkaProducer(max_batch_size=BATCH_BYTES_MAX, max_request_size=1 << 24)
    prepared = list(batches(asked.events, asked.batch, settings.lanes, producer))
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)
    rounds = []
    for _ in range(asked.rounds):
        rounds.append(one_round(settings, producer, prepared).stages())
        gc.collect()
    stages = {name: min(us[name] for us in rounds) for name in rounds[0]}
    yardstick = stages.pop(YARDSTICK)
    print(f"{asked.batch} records a batch; a yardstick is {yardstick:.2f} us\n")
    for name, us in [*sorted(stages.items()), ("sum", sum(stages.values()))]:
        print(f"{name:32}{us:8.2f} us{us / yardstick:8.2f} yardsticks")
    if asked.functions:
        profiler = cProfile.Profile()
        profiler.runcall(one_round, settings, producer, prepared)
        pstats.Stats(profiler).sort_stats("tottime").print_stats(asked.functions)
    await producer.stop()


def one_round(settings: Settings, producer: AIOKafkaProducer, prepared: list[Any]) -> Profile:
    """Take all batches down the path once."""
    profile = Profile(settings, producer, int(time.time() * 1000))
    for number, (lane, blocks) in enumerate(prepared):
        profile.batch(lane, blocks, number * 10_000)
    return profile


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=1_000, help="records in a lane's batch")
    parser.add_argument("--functions", type=int, default=0, help="how many functions to list")
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
