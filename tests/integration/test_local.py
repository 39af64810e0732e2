"""Kafka and Postgres on this machine: they start, stop, die and come back on the same data."""

from pathlib import Path

import psycopg
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from processor.local.child import NotStarted, find
from processor.local.kafka import Broker
from processor.local.postgres import Server


async def topics_of(bootstrap_servers: str) -> set[str]:
    """Return the names of the topics on a broker."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        return set(await admin.list_topics())
    finally:
        await admin.close()


async def create_topic(bootstrap_servers: str, name: str) -> None:
    """Create a topic of one partition."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(name, 1, 1)])
    finally:
        await admin.close()


async def test_broker_keeps_topics_through_kill_and_restart(tmp_path: Path) -> None:
    """A broker that was killed comes back at the same address with the topics it had."""
    broker = Broker(tmp_path / "kafka", heap_mb=512)
    broker.start()
    await create_topic(broker.bootstrap_servers, "kept")
    broker.pause()
    while broker.answers():
        continue  # what it had read before may still be answered
    broker.resume()
    broker.kill()
    assert not broker.answers()
    broker.start()
    assert await topics_of(broker.bootstrap_servers) == {"kept"}
    broker.stop()
    assert not broker.running
    assert find(tmp_path / "kafka" / "kafka.pid", "kafka") is None


def test_server_keeps_rows_through_kill_and_restart(server_directory: Path) -> None:
    """A committed row survives kill -9 of the server, and all sessions end with it."""
    server = Server(server_directory / "killed")
    server.start()
    with psycopg.connect(server.dsn()) as before:
        before.execute("CREATE TABLE kept AS SELECT 1 AS n")
        before.commit()
        server.kill()
        with pytest.raises(psycopg.OperationalError):
            before.execute("SELECT 1")
    server.start()
    with psycopg.connect(server.socket_dsn()) as after:
        assert after.execute("SELECT n FROM kept").fetchall() == [(1,)]
    server.stop()
    assert not server.running


def test_server_refuses_strangers_over_tcp(postgres_server: Server) -> None:
    """Whoever comes over TCP needs the password."""
    address = f"host=127.0.0.1 port={postgres_server.port} user=postgres password=wrong"
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(address)


def test_failed_start_quotes_the_log(tmp_path: Path) -> None:
    """A broker with settings it refuses says so, with the end of its log."""
    broker = Broker(tmp_path / "kafka", settings={"num.io.threads": "none"})
    with pytest.raises(NotStarted, match=r"num\.io\.threads"):
        broker.start()
