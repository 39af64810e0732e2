"""Kafka Connect, with the configuration that ships, reads a real subscription into a file."""

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from processor.local import kafka as local_kafka
from processor.local.port import free_port
from processor.settings import Settings
from tests.integration import bus
from tests.integration.ops import cleaned, settings_of
from tests.integration.siem import HOSTILE, SIEM, Siem, forwarding, happen, subscribe
from tests.integration.test_process import until

pytestmark = pytest.mark.timeout(120)

JARS = local_kafka.jars_directory(local_kafka.CONNECT_POM)


@pytest.fixture
def settings(kafka: str, postgres_dsn: str) -> Iterator[Settings]:
    """Give an environment of the test's own, with the topic that orders are told on."""
    own = settings_of(
        kafka, postgres_dsn, HTTP_PORT=str(free_port()), FORWARD_HEARTBEAT_SECONDS="1"
    )
    with cleaned(own):
        bus.create(kafka, [own.topic("raw.audit")], own.lanes)
        yield own


async def test_every_document_comes_once(settings: Settings, tmp_path: Path) -> None:
    """ECS as it was sent and in the order of seq; heartbeats are filtered out by their header."""
    subscribe(settings, "ecs")
    files = [
        str(SIEM / "kafka-connect" / name) for name in ("worker.properties", "file.properties")
    ]
    java = [local_kafka.java(), "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", f"{JARS}/*"]
    connect = [*java, "org.apache.kafka.connect.cli.ConnectStandalone", *files]
    siem = Siem(settings, "ecs", tmp_path, connect)
    with forwarding(settings), siem.running():
        await happen(settings, 0, 30, user_agent=HOSTILE)
        siem.await_lines(30)
        until(lambda: len(siem.sent()) > 30, "a heartbeat")
        siem.take_back()
        await happen(settings, 30, 10)
        siem.await_lines(40)
    documents = [orjson.loads(line) for line in siem.lines()]
    assert [each["event"]["sequence"] for each in documents] == list(range(1, 41))
    assert documents[0]["user_agent"]["original"] == HOSTILE
    beats = [line for line in siem.sent() if orjson.loads(line)["event"]["kind"] == "state"]
    assert beats
    assert siem.lines() == [line for line in siem.sent() if line not in beats]
