"""What the integration tests need beside Kafka and Postgres, and what is left out without it."""

from collections.abc import AsyncIterator

import pytest

from processor.forward.shard import Shard
from processor.local.environment import PROGRAMS, is_here
from processor.local.kafka import CONNECT_POM, Broker, jars_directory
from tests.integration import serving
from tests.integration.forwarding import World, a_world, begun
from tests.integration.kafka_proxy import KafkaProxy
from tests.integration.ops import settings_of
from tests.integration.serving import Place
from tests.left_out import leave_out
from tests.wheel import lacking

IMKAFKA = "rsyslog's imkafka"
TO_COMPILE = ("a C compiler", "Python's headers")

HERE = {
    "test_siem_rsyslog.py": (
        any(map(is_here, PROGRAMS[IMKAFKA][0])),
        f"{IMKAFKA}: install {' and '.join(PROGRAMS[IMKAFKA][1])}",
    ),
    "test_siem_connect.py": (
        jars_directory(CONNECT_POM).is_dir(),
        "Kafka Connect: `python -m processor.local programs` fetches it with Maven",
    ),
    "test_compiled.py": (
        lacking() is None,
        f"{lacking()}: install {' '.join(' '.join(PROGRAMS[name][1]) for name in TO_COMPILE)}",
    ),
}
"""By file of tests whether what it runs against is here, and how it would come here."""

collect_ignore = leave_out(
    "integration", {file: why for file, (here, why) in HERE.items() if not here}
)


@pytest.fixture
async def world(kafka: str, postgres_dsn: str) -> AsyncIterator[World]:
    """Give an environment of the test's own."""
    async with a_world(settings_of(kafka, postgres_dsn, FORWARD_HEARTBEAT_SECONDS="3600")) as world:
        yield world


@pytest.fixture
async def shard(world: World) -> AsyncIterator[Shard]:
    """Give a shard that has begun."""
    async with begun(world) as shard:
        yield shard


@pytest.fixture
async def place(kafka: str, postgres_dsn: str) -> AsyncIterator[Place]:
    """Give a server that serves, on a database and a topic of its own."""
    async with serving.opened(kafka, postgres_dsn) as place:
        yield place


@pytest.fixture
async def proxy(proxied: Broker) -> AsyncIterator[KafkaProxy]:
    """Give the proxy before the broker."""
    assert proxied.proxy_port is not None
    assert proxied.proxied_port is not None
    proxy = KafkaProxy(proxied.proxy_port, proxied.proxied_port)
    await proxy.start()
    yield proxy
    await proxy.stop()
