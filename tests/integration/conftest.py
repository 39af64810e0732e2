"""What the integration tests need beside Kafka and Postgres, and what is left out without it."""

from collections.abc import AsyncIterator

import pytest

from processor.forward.shard import Shard
from processor.local.environment import PROGRAMS, is_here
from processor.store.pool import FORWARDER, WRITER, Database
from tests.integration.forwarding import World, begun
from tests.integration.ops import cleaned, settings_of

NEEDED = {"test_siem_consumer.py": "rsyslog's imkafka"}
"""By file of tests the program that it runs."""

MISSING = {file: name for file, name in NEEDED.items() if not any(map(is_here, PROGRAMS[name][0]))}
collect_ignore = list(MISSING)


def pytest_report_header() -> list[str]:
    """Say which tests cannot run here, and what would let them."""
    return [
        f"LEFT OUT: {file}, there is no {name} here: install {' and '.join(PROGRAMS[name][1])}"
        for file, name in MISSING.items()
    ]


@pytest.fixture
async def world(kafka: str, postgres_dsn: str) -> AsyncIterator[World]:
    """Give an environment of the test's own."""
    settings = settings_of(kafka, postgres_dsn, FORWARD_HEARTBEAT_SECONDS="3600")
    writer = await Database.open(postgres_dsn, role=WRITER)
    forwarder = await Database.open(postgres_dsn, role=FORWARDER)
    with cleaned(settings):
        yield World(settings, writer, forwarder)
        await forwarder.close()
        await writer.close()


@pytest.fixture
async def shard(world: World) -> AsyncIterator[Shard]:
    """Give a shard that has begun."""
    async with begun(world) as shard:
        yield shard
