"""The read side while the database or the bus is away: it says so, and comes back by itself."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from processor.local.kafka import Broker
from processor.local.postgres import Server
from processor.store.migrations import migrate
from tests.acceptance.site import Site, history, site, stored

pytestmark = pytest.mark.timeout(180)

BACK_SECONDS_MAX = 60.0


@pytest.fixture(scope="module")
def servers(server_directory: Path) -> Iterator[tuple[Broker, Server]]:
    """Give a broker and a database server that nobody else uses."""
    broker, server = Broker(server_directory / "kafka-o"), Server(server_directory / "postgres-o")
    broker.start()
    server.start()
    yield broker, server
    broker.kill()
    server.crash()


@pytest.fixture(scope="module")
def fragile(servers: tuple[Broker, Server]) -> Iterator[Site]:
    """Give a site on them."""
    broker, server = servers
    dsn = server.dsn("postgres")
    asyncio.run(migrate(dsn))
    stored(dsn, history("acme"))
    env = {"HUB_AUDIT_KAFKA_REQUEST_TIMEOUT_MS": "2000"}
    with site(broker.bootstrap_servers, dsn, "outage.", **env) as running:
        yield running


def asked(fragile: Site, path: str) -> httpx.Response:
    """Ask as an Owner."""
    headers = {"Authorization": f"Bearer {fragile.token()}"}
    return httpx.get(fragile.url + path, headers=headers, timeout=30)


def await_status(fragile: Site, path: str, status: int) -> None:
    """Wait until a page answers with a status."""
    deadline = time.monotonic() + BACK_SECONDS_MAX
    while (answer := asked(fragile, path)).status_code != status:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.2)


def test_database_that_is_away_is_said_to_be(fragile: Site, servers: tuple[Broker, Server]) -> None:
    """No stack trace, not ready but alive, and back without a restart."""
    _, server = servers
    await_status(fragile, "/log", 200)
    server.crash()
    page = asked(fragile, "/log")
    assert page.status_code == 503
    assert "The log cannot be read at the moment" in page.text
    assert "Traceback" not in page.text
    problem = asked(fragile, "/v1/audit-entries")
    assert (problem.status_code, problem.json()["code"]) == (503, "database_away")
    assert problem.headers["retry-after"] == "5"
    assert asked(fragile, "/readyz").status_code == 503
    assert asked(fragile, "/livez").status_code == 200
    server.start()
    await_status(fragile, "/log", 200)
    await_status(fragile, "/readyz", 200)


def test_nothing_is_read_that_cannot_be_written_down(
    fragile: Site, servers: tuple[Broker, Server]
) -> None:
    """While the bus is away, who has not been noted yet gets nothing."""
    broker, _ = servers
    await_status(fragile, "/v1/audit-entries?filter=outcome:success", 200)
    broker.kill()
    refused = asked(fragile, "/v1/audit-entries?filter=outcome:failure")
    assert (refused.status_code, refused.json()["code"]) == (503, "bus_away")
    assert "entries" not in refused.json()
    broker.start()
    await_status(fragile, "/v1/audit-entries?filter=outcome:failure", 200)
