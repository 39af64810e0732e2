"""``hub-audit defend``: the Faust application that reads the topics and runs the detector.

At least once: a record is acknowledged when all that it makes different is kept in the store, and
only then. Faust restarts an agent that fails and skips what it failed on; here a failure ends the
process instead, with nothing acknowledged that was not taken.
"""

import asyncio
import logging
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import faust
import orjson
from aiokafka.errors import KafkaError
from faust.exceptions import FaustError

from processor import metrics
from processor.defend.detector import Detector, Observation
from processor.defend.records import of_canonical, of_telemetry
from processor.defend.rules import ACTIONS
from processor.defend.transport import Transport
from processor.emit.route import partition_of
from processor.errors import BusOutage, DatabaseOutage
from processor.health import serve
from processor.ingest.consumer import OUTAGES
from processor.normalize import NORMALIZER
from processor.settings import Settings
from processor.store import findings
from processor.store.books import ours
from processor.store.pool import FORWARDER, Database
from schemas.catalogue import CATALOGUE
from schemas.finding import FINDINGS_TOPIC, Finding, as_told
from schemas.telemetry import TELEMETRY_TOPIC

log = logging.getLogger(__name__)

BUFFERED_RECORDS = 4_096
GATHER_SECONDS = 0.02
"""How long few records wait for more: Faust hands them over one by one."""

SLICE_RECORDS = 250
"""So many are decoded between two turns of the loop."""

PUBLISH_SECONDS, PUBLISHED_AT_ONCE = 1.0, 200
SEND_SECONDS_MAX = 10.0
START_SECONDS_MAX, STOP_SECONDS_MAX = 60.0, 15.0
BACKOFF_SECONDS_MIN, BACKOFF_SECONDS_MAX = 0.5, 10.0
LOOK_SECONDS = 0.2
FAUST_WAITS_SECONDS = 86_400.0
"""How long Faust waits for the offsets it goes on from: until there are others to go on from.

It takes the end of this time for the end of its service, and after no rebalance reads any more.
Our clients have time-outs of their own, and one that stands ends.
"""


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Read, judge, keep and publish until ``stop`` is set."""
    async with ours(
        settings,
        role=FORWARDER,
        connections=settings.postgres.connections,
        statement_timeout_seconds=settings.postgres.statement_timeout_seconds,
    ) as db:
        with tempfile.TemporaryDirectory(prefix="hub-audit-defend-") as directory:
            defend = Defend(settings, db, Path(directory))
            metrics.started("defend", version("hub-audit"), NORMALIZER)
            metrics.watch_connections(db.occupation)
            async with serve(settings.http, defend.ready):
                await defend.run(stop)


class App(faust.App):
    """The Faust application, on our transport."""

    settings: Settings

    def _new_transport(self) -> Transport:
        transport = Transport(self.conf.broker_consumer, self, loop=self.loop)
        transport.connect_as(self.settings, self.conf.id)
        return transport

    def _new_producer_transport(self) -> Transport:
        transport = Transport(self.conf.broker_producer, self, loop=self.loop)
        transport.connect_as(self.settings, self.conf.id)
        return transport


class Defend:
    """One worker of any number that share the partitions."""

    def __init__(self, settings: Settings, db: Database, directory: Path) -> None:
        """Set the application up; ``run`` starts it."""
        self._settings, self._db = settings, db
        self._detector = Detector(db, settings.defend.signals_max)
        self._telemetry = settings.topic(TELEMETRY_TOPIC)
        self._assigned = False
        self._busy = False
        self._alive_at = asyncio.get_running_loop().time()
        self._news = asyncio.Event()
        self._lent: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._app = application(settings, directory)
        self._transport = cast("Transport", self._app.transport)
        self._findings = settings.topic(FINDINGS_TOPIC)
        self._app.agent(self._app.topic(*topics(settings), **_RAW), name="detect")(self._lend)
        self._app.on_partitions_assigned.connect(self._on_assigned)
        self._app.on_partitions_revoked.connect(self._on_revoked)

    def ready(self) -> tuple[bool, str]:
        """Say whether partitions are assigned."""
        return self._assigned, "reading" if self._assigned else "waiting for partitions"

    async def run(self, stop: asyncio.Event) -> None:
        """Run until ``stop``; raise what failed, after what was taken is acknowledged."""
        tasks = [
            asyncio.create_task(each)
            for each in (
                stop.wait(),
                self._read(),
                self._publish(),
                self._watch(),
                self._see_that_it_moves(),
            )
        ]
        try:
            async with asyncio.timeout(START_SECONDS_MAX):
                await self._app.start()
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                each.result()
        except TimeoutError as error:
            raise BusOutage("Kafka does not answer") from error
        finally:
            for task in tasks:
                task.cancel()
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS_MAX):
                    await self._app.stop()

    # --- reading ------------------------------------------------------------------------------

    async def _lend(self, stream: Any) -> None:
        """Be the agent, and lend its queue to ``_read``: what that raises ends the process."""
        self._lent.set_result(stream.channel.queue)
        await asyncio.Event().wait()

    async def _read(self) -> None:
        """Take what is there, a batch at a time, and acknowledge it once it is kept.

        The batches that Faust makes are acknowledged also when what was done with them failed.
        """
        queue = await self._lent
        while True:
            events = [await queue.get()]
            if queue.qsize() < self._settings.defend.records_max:
                await asyncio.sleep(GATHER_SECONDS)
            while len(events) < self._settings.defend.records_max and not queue.empty():
                events.append(queue.get_nowait())
            self._busy = True
            await self._taken(events)
            for event in events:
                event.ack()
            self._busy = False
            self._lives()

    async def _taken(self, events: list[Any]) -> None:
        observations: list[Observation] = []
        for first in range(0, len(events), SLICE_RECORDS):
            observations += self._observed(events[first : first + SLICE_RECORDS])
            await asyncio.sleep(0)
        backoff = BACKOFF_SECONDS_MIN
        while True:
            try:
                if await self._detector.take(observations):
                    self._news.set()
                break
            except DatabaseOutage as outage:
                log.warning("defend_waits", extra={"error": str(outage)})
                await asyncio.sleep(backoff)
                backoff = min(2 * backoff, BACKOFF_SECONDS_MAX)
        self._count(events)

    def _observed(self, events: Iterable[Any]) -> Iterator[Observation]:
        """Yield what records tell; count those that tell nothing.

        An alert that came by another partition than its organization's is told to a worker that
        does not get what happens after it, and the one that does hears nothing of the alert.
        """
        for event in events:
            message = event.message
            if message.topic == self._telemetry:
                told = of_telemetry(message.value, round(message.timestamp * 1000))
            else:
                told = of_canonical(message.value)
            if not isinstance(told, Observation):
                metrics.told_nothing(self._source(message.topic), told)
                continue
            if told.alert and partition_of(told.org_id, self._settings.lanes) != message.partition:
                metrics.alert_strayed()
            yield told

    def _count(self, events: list[Any]) -> None:
        by_source: dict[str, list[float]] = {}
        for event in events:
            source = self._source(event.message.topic)
            by_source.setdefault(source, []).append(event.message.timestamp)
        for source, appended in by_source.items():
            metrics.defended(source, len(appended), min(appended))

    def _source(self, topic: str) -> str:
        return "telemetry" if topic == self._telemetry else "audit"

    async def _on_assigned(self, *given: Any, **_more: Any) -> None:
        self._detector.forget()
        self._assigned = True
        self._lives()
        log.info("partitions_assigned", extra={"partitions": len(given[-1])})

    async def _on_revoked(self, *given: Any, **_more: Any) -> None:
        self._detector.forget()
        self._assigned = False
        log.info("partitions_revoked", extra={"partitions": len(given[-1])})

    # --- beside it ----------------------------------------------------------------------------

    async def _publish(self) -> None:
        """Put on the topic what the store has and the topic lacks, also what others left behind."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(PUBLISH_SECONDS):
                    await self._news.wait()
            self._news.clear()
            if not self._assigned:
                metrics.findings_unpublished(0)  # whoever has partitions says how many
                continue
            try:
                while await self._publish_some() == PUBLISHED_AT_ONCE:
                    pass
                metrics.findings_unpublished(await findings.lacking(self._db))
            except DatabaseOutage as outage:
                log.warning("findings_wait", extra={"error": str(outage)})

    async def _publish_some(self) -> int:
        """Put some on the topic, each by itself: one that is refused holds up no other.

        Returns how many the topic has taken.
        """
        async with self._db.transaction() as connection:
            lacking = await findings.unpublished(connection, PUBLISHED_AT_ONCE)
            refusals = await asyncio.gather(*map(self._refusal, lacking))
            sent = [each for each, refusal in zip(lacking, refusals, strict=True) if not refusal]
            if sent:
                await findings.published(connection, sent)
        metrics.findings_published(len(sent))
        if len(sent) < len(lacking):
            refused = {"findings": len(lacking) - len(sent), "error": next(filter(None, refusals))}
            log.warning("findings_wait", extra=refused)
        return len(sent)

    async def _refusal(self, finding: Finding) -> str:
        """Put a finding on the topic; return why it was refused, empty if it was not.

        Not by Faust's topic, which logs a whole record that was refused.
        """
        key, value = finding["org_id"].encode(), orjson.dumps(as_told(finding))
        try:
            async with asyncio.timeout(SEND_SECONDS_MAX):
                producer = await self._app.maybe_start_producer()
                await (await producer.send(self._findings, key, value, None, None, None))
        except (FaustError, KafkaError, TimeoutError) as refusal:
            return f"{type(refusal).__name__}: {refusal}"
        return ""

    async def _watch(self) -> None:
        """Note how far behind it is; return when Faust has ended by itself, by what it died of."""
        metrics.defend_started()
        while not self._app.crashed:
            await asyncio.sleep(LOOK_SECONDS)
            if self._assigned and self._lent.done():
                with suppress(*OUTAGES):  # what was known last stays
                    waiting = await self._transport.records_waiting()
                    metrics.defend_lag(waiting + self._lent.result().qsize())
        raise BusOutage("Faust ended by itself") from self._app.crash_reason

    async def _see_that_it_moves(self) -> None:
        """End the process when Faust stands: its supervisor starts one that reads.

        After a broker's restart, or a member's death in the middle of a rebalance, it can wait for
        ever, without partitions or with some of which it fetches none, and says nothing.
        """
        clock = asyncio.get_running_loop().time
        stand_seconds_max = self._settings.defend.stand_seconds_max
        while True:
            await asyncio.sleep(stand_seconds_max / 4)
            behind = 0 if self._busy else await self._behind()
            if not behind:
                self._lives()
            elif (stood := clock() - self._alive_at) >= stand_seconds_max:
                raise BusOutage(f"Faust stands for {stood:.0f} s, and {behind} records wait")

    async def _behind(self) -> int:
        """Return how many records wait, at least one where that is not to be known."""
        if not self._assigned:
            return 1
        try:
            return await self._transport.records_behind()
        except OUTAGES:
            return 1

    def _lives(self) -> None:
        """Note that something was read, or nothing was there to be read."""
        self._alive_at = asyncio.get_running_loop().time()


def topics(settings: Settings) -> list[str]:
    """Return the topics that are read, as they are named on Kafka."""
    canonical = dict.fromkeys(CATALOGUE[action].topic for action in ACTIONS)
    return [settings.topic(name) for name in (*canonical, TELEMETRY_TOPIC)]


_RAW: dict[str, Any] = {
    "key_type": bytes,
    "value_type": bytes,
    "key_serializer": "raw",
    "value_serializer": "raw",
}


def application(settings: Settings, directory: Path) -> App:
    """Return the Faust application: no web server, no tables, no topics of its own."""
    kafka = settings.kafka
    app = App(
        f"{settings.group}.defend",
        broker=[f"kafka://{server}" for server in kafka.bootstrap_servers.split(",")],
        store="memory://",
        datadir=str(directory),
        web_enabled=False,
        autodiscover=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        topic_partitions=settings.lanes,
        broker_commit_interval=settings.defend.commit_seconds,
        broker_request_timeout=FAUST_WAITS_SECONDS,
        broker_session_timeout=kafka.session_timeout_ms / 1000,
        broker_heartbeat_interval=kafka.heartbeat_interval_ms / 1000,
        stream_buffer_maxsize=BUFFERED_RECORDS,
        consumer_auto_offset_reset="earliest",
        producer_acks=-1,
    )
    app.settings = settings
    return app
