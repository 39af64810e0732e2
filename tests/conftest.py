"""Kafka and Postgres for the tests: real servers, started once, fresh databases for every test.

``HUB_AUDIT_KAFKA_BOOTSTRAP_SERVERS`` and ``HUB_AUDIT_POSTGRES_DSN`` make the tests use servers that
run already; no other setting of the caller's environment reaches a test.
"""

import asyncio
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import LiteralString
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from processor import metrics
from processor.local.kafka import Broker
from processor.local.port import free_port
from processor.local.postgres import Server
from processor.store.migrations import migrate
from tests import left_out
from tests.shell import GIVEN

pytest_plugins = ("tests.parallel",)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say at the end what of the asked for did not run."""
    asked = [config.invocation_params.dir / arg.partition("::")[0] for arg in config.args]
    for line in left_out.said([path.resolve() for path in asked]):
        terminalreporter.write_line(line)


@pytest.fixture(autouse=True)
def _all_shown() -> None:
    """Have everything exposed, whatever process another test has played."""
    metrics.show(*metrics.PROCESSES)


MEMORY = Path("/dev/shm")  # noqa: S108 - what is made in it has a name of its own
SERVERS_BYTES_MAX = 4 << 30
"""Four times what the servers of a whole run came to hold."""


def in_memory() -> Path | None:
    """Return where files are kept in memory, if servers have room there; None: on the disk.

    What a killed server has written is there all the same; only a power cut would tell, and no test
    has one.
    """
    if not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < SERVERS_BYTES_MAX:
        return None
    told = re.search(r"MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text())
    return MEMORY if told and int(told[1]) * 1024 > SERVERS_BYTES_MAX else None


@pytest.fixture(scope="session")
def server_directory() -> Iterator[Path]:
    """Give a directory that the user of the Postgres server can reach, removed at the end."""
    directory = Path(tempfile.mkdtemp(prefix="hub-audit-test-", dir=in_memory()))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def kafka(server_directory: Path) -> Iterator[str]:
    """Give the bootstrap servers of a Kafka that all tests share: take topic names of your own."""
    if given := GIVEN.get("HUB_AUDIT_KAFKA_BOOTSTRAP_SERVERS"):
        yield given
        return
    broker = Broker(server_directory / "kafka")
    broker.start()
    yield broker.bootstrap_servers
    broker.kill()


@pytest.fixture(scope="session")
def proxied(server_directory: Path) -> Iterator[Broker]:
    """Give a Kafka node behind the port of a proxy, which a test has to open."""
    short = {"group.min.session.timeout.ms": "1000", "transaction.max.timeout.ms": "60000"}
    node = Broker(server_directory / "proxied-kafka", settings=short, proxy_port=free_port())
    node.start()
    yield node
    node.kill()


@pytest.fixture(scope="session")
def postgres_server(server_directory: Path) -> Iterator[Server]:
    """Give a Postgres server of the tests' own."""
    server = Server(server_directory / "postgres")
    server.start()
    yield server
    server.crash()


@pytest.fixture(scope="session")
def postgres_admin_dsn(request: pytest.FixtureRequest) -> str:
    """Give the superuser's way into the server on which the tests' databases are made."""
    if given := GIVEN.get("HUB_AUDIT_POSTGRES_DSN"):
        return given
    server: Server = request.getfixturevalue("postgres_server")
    return server.dsn("postgres")


@pytest.fixture(scope="session")
def postgres_template(postgres_admin_dsn: str) -> Iterator[str]:
    """Give the name of a migrated database, to be copied."""
    with database(postgres_admin_dsn, template="template1") as name:
        asyncio.run(migrate(dsn_of(postgres_admin_dsn, name)))
        yield name


class Copies:
    """Copies of a database; while a test has one, the next is made and that before is dropped."""

    def __init__(self, admin_dsn: str, template: str) -> None:
        """Begin with the first."""
        self._admin_dsn, self._template = admin_dsn, template
        self._there: set[str] = set()
        self._beside = ThreadPoolExecutor(1)
        self._next = self._beside.submit(self._make)

    def take(self) -> str:
        """Return the name of a database that nobody has used."""
        try:
            name = self._next.result()
        except psycopg.Error:  # a test had the server's connections cut, or the server killed
            name = self._make()
        self._next = self._beside.submit(self._make)
        return name

    def give_back(self, name: str) -> None:
        """Let one go."""
        self._beside.submit(self._drop, name)

    def close(self) -> None:
        """Drop what is still there."""
        self._beside.shutdown()
        for name in [*self._there]:
            self._drop(name)

    def _make(self) -> str:
        name = make_database(self._admin_dsn, self._template)
        self._there.add(name)
        return name

    def _drop(self, name: str) -> None:
        drop_database(self._admin_dsn, name)
        self._there.discard(name)


@pytest.fixture(scope="session")
def postgres_copies(postgres_admin_dsn: str, postgres_template: str) -> Iterator[Copies]:
    """Give migrated, empty databases."""
    copies = Copies(postgres_admin_dsn, postgres_template)
    yield copies
    copies.close()


@pytest.fixture
def postgres_dsn(postgres_admin_dsn: str, postgres_copies: Copies) -> Iterator[str]:
    """Give the DSN of a migrated, empty database of the test's own."""
    name = postgres_copies.take()
    yield dsn_of(postgres_admin_dsn, name)
    postgres_copies.give_back(name)


@pytest.fixture
def empty_postgres_dsn(postgres_admin_dsn: str) -> Iterator[str]:
    """Give the DSN of a database of the test's own without any table."""
    with database(postgres_admin_dsn, template="template1") as name:
        yield dsn_of(postgres_admin_dsn, name)


@contextmanager
def database(admin_dsn: str, *, template: str, made: LiteralString = "") -> Iterator[str]:
    """Make a database from the template, and drop it afterwards with whoever is connected."""
    name = make_database(admin_dsn, template, made)
    try:
        yield name
    finally:
        drop_database(admin_dsn, name)


def make_database(admin_dsn: str, template: str, made: LiteralString = "") -> str:
    """Make a database from the template, of another kind where that is said; return its name."""
    name = f"hub_audit_test_{secrets.token_hex(6)}"
    with psycopg.connect(admin_dsn, autocommit=True) as admin:
        create = sql.SQL("CREATE DATABASE {} TEMPLATE {} " + made)
        admin.execute(create.format(sql.Identifier(name), sql.Identifier(template)))
    return name


def drop_database(admin_dsn: str, name: str) -> None:
    """Drop a database with whoever is connected."""
    with psycopg.connect(admin_dsn, autocommit=True) as admin:
        drop = sql.SQL("DROP DATABASE {} WITH (FORCE)")
        admin.execute(drop.format(sql.Identifier(name)))


def dsn_of(admin_dsn: str, name: str) -> str:
    """Return the DSN of another database on the same server."""
    return urlsplit(admin_dsn)._replace(path=f"/{name}").geturl()
