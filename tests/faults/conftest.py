"""A broker for the fault tests alone: it may be killed, and forgets dead members soon."""

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from processor.local.kafka import Broker
from tests.faults.harness import Stage

# The default of 6 s is what every kill -9 of a worker would cost at least.
BROKER = {"group.min.session.timeout.ms": "1000"}


@pytest.fixture(scope="session")
def broker(server_directory: Path) -> Iterator[Broker]:
    """Give a Kafka node that may be killed and started again."""
    node = Broker(server_directory / "faults-kafka", settings=BROKER, heap_mb=512)
    node.start()
    yield node
    if node.running:
        node.kill()


@pytest.fixture
def stage(broker: Broker, postgres_dsn: str, tmp_path: Path) -> Iterator[Callable[..., Stage]]:
    """Give a way to set up a stage, which is cleared away at the end."""
    made: list[Stage] = []

    def make(*, lanes: int = 3, seed: int = 1, dsn: str = postgres_dsn) -> Stage:
        prefix = f"f{secrets.token_hex(4)}."
        made.append(Stage(broker.bootstrap_servers, dsn, tmp_path, prefix, lanes, seed))
        return made[-1]

    yield make
    for one in made:
        one.close()
