"""Ending the client's consumers, with the client's own parts before a bus that is away."""

import asyncio
import socket
import struct
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.conn import AIOKafkaConnection
from aiokafka.consumer.fetcher import Fetcher
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

from processor import client
from processor.client import stop_consumer
from processor.emit import lookup
from processor.emit.route import Outgoing
from processor.errors import BusOutage
from processor.ingest import consumer as ingesting
from processor.ingest.consumer import Consumer
from processor.settings import Settings

PLACE = TopicPartition("hub.auth.login_success", 0)


class Away:
    """A bus that answers no fetch any more; the client pauses for a minute before another one."""

    def __init__(self) -> None:
        """Note whether a fetch was tried."""
        self.asked = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._metadata_max_age_ms = 60_000
        self.cluster = SimpleNamespace(leader_for_partition=lambda _: 0)

    async def send(self, _node: int, _request: Any) -> Any:
        """Fail."""
        self.asked.set()
        raise KafkaConnectionError("gone")


class Client(AIOKafkaConsumer):  # type: ignore[misc] # the client is not typed
    """The client's consumer, as it is once the bus that it was connected to has gone."""

    def __init__(self, **options: Any) -> None:
        """Hold one partition and one connection."""
        super().__init__(**options)
        self.connected = True
        self.away = Away()
        connection = SimpleNamespace(close=self._disconnect)
        self._client._conns = {(0, 0): connection}
        self._coordinator = SimpleNamespace(
            check_errors=lambda: None,
            start_commit_offsets_refresh_task=lambda _: None,
            close=self._leave,
        )

    async def start(self) -> None:
        """Begin to fetch as soon as there is something to be fetched."""
        self._fetcher = Fetcher(
            self.away,
            self._subscription,
            isolation_level="read_committed",
            retry_backoff_ms=60_000,
        )

    async def end_offsets(self, places: Any) -> dict[TopicPartition, int]:
        """Say that there are records."""
        return dict.fromkeys(places, 9)

    async def beginning_offsets(self, places: Any) -> dict[TopicPartition, int]:
        """Say that none is deleted."""
        return dict.fromkeys(places, 0)

    async def offsets_for_times(self, _times: Any) -> dict[TopicPartition, Any]:
        """Say that none is as young."""
        return {}

    async def _leave(self) -> None:
        """Leave no group."""

    def _disconnect(self, reason: object) -> "asyncio.Future[None]":  # noqa: ARG002 - the client's signature
        """Close the connection."""
        self.connected = False
        closed = asyncio.get_running_loop().create_future()
        closed.set_result(None)
        return closed


async def fetching(consumer: Client) -> None:
    """Have a consumer's fetch fail, so that it pauses."""
    await consumer.start()
    consumer.assign([PLACE])
    consumer.seek(PLACE, 0)
    await consumer.away.asked.wait()


def others() -> set[asyncio.Task[Any]]:
    """Return the tasks beside the test's own."""
    return asyncio.all_tasks() - {asyncio.current_task()}


async def test_fetch_that_has_just_failed_keeps_nothing_open(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The client's stop() ends as cancelled then: its connections are closed all the same."""
    consumer = Client()
    await fetching(consumer)
    await stop_consumer(consumer)
    assert not consumer.connected
    assert not others()
    assert "consumer_stop_failed" in caplog.messages


async def test_stop_that_does_not_come_to_its_end_is_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the consumer had under way, in its group or in fetching, is ended with it."""
    monkeypatch.setattr(client, "STOP_SECONDS_MAX", 0.05)
    consumer = Client()
    await fetching(consumer)
    heartbeat = asyncio.create_task(asyncio.Event().wait())
    consumer._coordinator = SimpleNamespace(heartbeat=heartbeat, close=asyncio.Event().wait)
    await stop_consumer(consumer)
    assert heartbeat.cancelled()
    assert not consumer.connected
    assert not others()


async def test_who_is_cancelled_meanwhile_leaves_nothing_behind_either() -> None:
    """A lane that is dropped while it closes a consumer ends as cancelled, and closes it."""
    consumer = Client()
    await fetching(consumer)
    consumer._coordinator = SimpleNamespace(close=asyncio.Event().wait)
    stopping = asyncio.create_task(stop_consumer(consumer))
    await asyncio.sleep(0)
    stopping.cancel()
    await asyncio.wait([stopping])
    assert stopping.cancelled()
    assert not consumer.connected
    assert not others()


async def test_member_of_the_group_stops_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker's consumer whose fetch has just failed is stopped without an error."""

    async def ignore(_lanes: frozenset[int]) -> None:
        """Have no lanes."""

    monkeypatch.setattr(ingesting, "AIOKafkaConsumer", Client)
    member = Consumer(
        Settings.load(env={}),
        [PLACE.topic],
        on_assigned=ignore,
        on_revoked=ignore,
        on_trouble=lambda *_: None,
    )
    await fetching(member._consumer)
    await member.stop()
    assert not member._consumer.connected
    assert not member._asking.connected


async def test_look_that_the_bus_does_not_answer_is_an_outage(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whether a batch is out is not known, and the lane tries again: it does not end for good."""
    monkeypatch.setattr(lookup, "ANSWER_SECONDS_MAX", 0.1)
    monkeypatch.setattr(lookup, "POLL_MILLISECONDS", 20)
    wanted = Outgoing(PLACE.topic, 0, b"acme", b"{}", [("ce_id", b"e1")])
    with pytest.raises(BusOutage, match="is not known"):
        await lookup.holds(Settings.load(env={}), wanted, 0, Client)


class Direct(AIOKafkaConnection):  # type: ignore[misc] # the client is not typed
    """A connection of the client's that need not ask what its broker knows."""

    async def _do_version_lookup(self) -> None:
        self._versions = {MetadataRequest([]).API_KEY: (0, 5)}


async def _sent_while_reset() -> int:
    """Send on a connection, turn by turn, while it is reset; return how often."""
    met = asyncio.get_running_loop().create_future()
    server = await asyncio.start_server(lambda *peer: met.set_result(peer), "127.0.0.1")
    connection = Direct(*server.sockets[0].getsockname())
    await connection.connect()
    _, peer = await met
    linger = struct.pack("ii", 1, 0)
    peer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    peer.transport.abort()
    sent = 0
    try:
        while connection.connected():
            connection.send(MetadataRequest([])).close()
            sent += 1
            await asyncio.sleep(0)
    finally:
        await connection._closed_fut
        server.close()
        await server.wait_closed()
    return sent


def test_connection_that_was_reset_is_none() -> None:
    """Nothing is sent on it from the very turn of the loop on in which it breaks."""
    assert uvloop.run(_sent_while_reset()) > 0
