"""P15: a thousand SIEM subscriptions on one forwarder, a few of them busy, and one replayed."""

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined] # it does

from processor.emit.route import murmur2
from processor.local.port import free_port
from processor.store import subscriptions as store
from processor.store.load import load
from processor.store.pool import FORWARDER, WRITER, Database
from schemas.subscription import Filter, topic_of
from tests.benchmarks.reading import database
from tests.benchmarks.servers import Servers, cpu_seconds, resident_mb
from tests.integration.bus import headers_of
from tests.integration.store import an_entry

SUBSCRIPTIONS, BUSY = 1_000, 10
RATE = 50
"""Entries a second of each busy organization."""

SLICE_SECONDS = 0.1
IDLE_SECONDS, WARM_SECONDS, BUSY_SECONDS = 20.0, 5.0, 20.0
REPLAYED = 20_000
PATIENCE_SECONDS = 120.0
LOOK_SECONDS = 0.05
PREFIX = "bench-forward."

Figures = dict[str, Any]


async def measure(servers: Servers) -> Figures:
    """Return what a forwarder costs and how late it is."""
    names = [f"forward-{number:04}" for number in range(SUBSCRIPTIONS)]
    async with database(servers) as dsn, _opened(dsn) as (writer, db):
        with _topics(servers, names):
            for name in names:
                await store.create(db, name, "hub", murmur2(name.encode()), Filter())
            with _forwarder(servers, dsn) as pid:
                await _until(db, lambda each: each.delivered_at is not None, ordered=names[:1])
                await asyncio.sleep(WARM_SECONDS)
                idle = await _share_of_a_core(pid, IDLE_SECONDS)
                figures = await _busy(servers, writer, pid, names[:BUSY])
                rate = await _replayed(writer, db, names[-1])
                return {
                    "idle_cores": idle,
                    **figures,
                    "replay_entries_per_second": rate,
                    "resident_mb": resident_mb(pid),
                }


async def _busy(servers: Servers, writer: Database, pid: int, names: list[str]) -> Figures:
    """Store entries steadily; return how late they can be read, and what that costs."""
    reader = _Reader(servers, [f"{PREFIX}{topic_of(name, 'hub')}" for name in names])
    await _store_steadily(writer, names, WARM_SECONDS)
    before, began = cpu_seconds(pid), time.monotonic()
    committed = await _store_steadily(writer, names, BUSY_SECONDS)
    cores = (cpu_seconds(pid) - before) / (time.monotonic() - began)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not committed.keys() <= reader.seen.keys():
        if time.monotonic() > deadline:
            raise TimeoutError("entries were not delivered")
        await asyncio.sleep(LOOK_SECONDS)
    reader.stop()
    late = [(reader.seen[entry] - at) * 1000 for entry, at in committed.items()]
    cuts = statistics.quantiles(late, n=100)
    return {"busy_cores": cores, "live_p50": cuts[49], "live_p99": cuts[98], "live_max": max(late)}


async def _store_steadily(writer: Database, names: list[str], seconds: float) -> dict[str, float]:
    """Store entries of all at a steady rate; return when each was committed."""
    committed: dict[str, float] = {}
    each = max(1, round(RATE * SLICE_SECONDS))
    began = time.monotonic()
    for number in range(round(seconds / SLICE_SECONDS)):
        ids = [f"{began}-{number}-{n}" for n in range(each)]
        made = [
            an_entry(name, event_id, at=datetime.now(UTC)) for name in names for event_id in ids
        ]
        await asyncio.sleep(max(0.0, began + number * SLICE_SECONDS - time.monotonic()))
        await load(writer, made)
        at = time.time()
        committed |= {entry["entry_id"]: at for entry in made}
    return committed


async def _replayed(writer: Database, db: Database, name: str) -> float:
    """Return how many entries a second a replay delivers."""
    now = datetime.now(UTC)
    await load(writer, (an_entry(name, f"again-{n}", at=now) for n in range(REPLAYED)))
    await _until(db, lambda each: each.forwarded_through >= REPLAYED, ordered=[name])
    await store.order_replay(db, name, "hub", 0, None)
    began = time.monotonic()
    await _until(db, lambda each: each.replay is None, ordered=[name])
    return REPLAYED / (time.monotonic() - began)


async def _share_of_a_core(pid: int, seconds: float) -> float:
    before = cpu_seconds(pid)
    await asyncio.sleep(seconds)
    return (cpu_seconds(pid) - before) / seconds


async def _until(
    db: Database, holds: Callable[[store.Subscription], bool], *, ordered: list[str]
) -> None:
    """Wait until subscriptions stand as wanted; a test event is ordered of those never served."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    for name in ordered:
        (each,) = await store.listed(db, name)
        if each.delivered_at is None and each.last_seq == 0:
            await store.order_test(db, name, "hub")
        while not holds((await store.listed(db, name))[0]):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} does not get on")
            await asyncio.sleep(LOOK_SECONDS)


@asynccontextmanager
async def _opened(dsn: str) -> AsyncIterator[tuple[Database, Database]]:
    writer = await Database.open(dsn, role=WRITER)
    db = await Database.open(dsn, role=FORWARDER)
    try:
        yield writer, db
    finally:
        await db.close()
        await writer.close()


@contextmanager
def _topics(servers: Servers, names: list[str]) -> Iterator[None]:
    """Have the topics of subscriptions."""
    admin = AdminClient({"bootstrap.servers": servers.bootstrap_servers})
    topics = [f"{PREFIX}{topic_of(name, 'hub')}" for name in names]
    for made in admin.create_topics([NewTopic(topic, 1, 1) for topic in topics]).values():
        made.result(PATIENCE_SECONDS)
    try:
        yield
    finally:
        for gone in admin.delete_topics(topics).values():
            gone.result(PATIENCE_SECONDS)


@contextmanager
def _forwarder(servers: Servers, dsn: str) -> Iterator[int]:
    """Run ``hub-audit forward``; yields its process id."""
    given = {
        "HUB_AUDIT_KAFKA_BOOTSTRAP_SERVERS": servers.bootstrap_servers,
        "HUB_AUDIT_KAFKA_TOPIC_PREFIX": PREFIX,
        "HUB_AUDIT_GROUP": f"bench-forward-{os.getpid()}",
        "HUB_AUDIT_POSTGRES_DSN": dsn,
        "HUB_AUDIT_HTTP_PORT": str(free_port()),
        "HUB_AUDIT_LOG_LEVEL": "WARNING",
    }
    command = [str(Path(sys.executable).with_name("hub-audit")), "forward"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env=os.environ | given, stdout=log, stderr=log)
        try:
            yield process.pid
        finally:
            process.terminate()
            process.wait(30)


class _Reader(threading.Thread):
    """Reads the busy topics as their SIEMs do; notes when each entry was in its hands."""

    def __init__(self, servers: Servers, topics: list[str]) -> None:
        super().__init__(daemon=True)
        self.seen: dict[str, float] = {}
        self._consumer = Consumer(
            {
                "bootstrap.servers": servers.bootstrap_servers,
                "group.id": f"{PREFIX}reader",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 10,
            }
        )
        self._consumer.assign([TopicPartition(topic, 0, 0) for topic in topics])
        self._ended = threading.Event()
        self.start()

    def stop(self) -> None:
        self._ended.set()
        self.join(10)
        self._consumer.close()

    def run(self) -> None:
        while not self._ended.is_set():
            record, now = self._consumer.poll(0.1), time.time()
            if record is not None and record.error() is None:
                self._note(record, now)

    def _note(self, record: Message, now: float) -> None:
        headers = headers_of(record)
        if "hub_entry_id" in headers:
            self.seen[headers["hub_entry_id"].decode()] = now
