"""Kafka and Postgres for development and the demo, with their data under ``.local``."""

import logging
import os
import secrets
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Self

from processor.local import postgres
from processor.local.child import NotStarted
from processor.local.kafka import Broker
from processor.local.port import bindable
from processor.local.postgres import Server

log = logging.getLogger(__name__)

# Beside the usual ports, on which a Kafka or Postgres of the machine's own may listen.
KAFKA_PORT, POSTGRES_PORT = 19092, 15432
# By this a shell remembers whose addresses it sourced. No setting of ours: those begin otherwise.
LOCAL_SERVERS = "LOCAL_SERVERS"
PASSING = "# These end with the demo that started them.\n"
# Where root keeps the data of a server that runs as another user, who cannot look into /root.
SYSTEM_DATA = Path("/var/lib/hub-audit")


class Addresses(NamedTuple):
    """Where Kafka and Postgres are."""

    bootstrap_servers: str
    dsn: str

    def environment(self) -> dict[str, str]:
        """Return the settings by which every command of ours finds them."""
        return {
            "HUB_AUDIT_KAFKA_BOOTSTRAP_SERVERS": self.bootstrap_servers,
            "HUB_AUDIT_POSTGRES_DSN": self.dsn,
        }

    @classmethod
    def given(cls) -> Self | None:
        """Return those of the environment, if it names both."""
        values = [os.environ.get(name, "") for name in cls("", "").environment()]
        return cls(*values) if all(values) else None

    def mark(self, directory: Path) -> str:
        """Return how a shell remembers that these, and no others, were those of the directory."""
        return " ".join((str(directory), *self))

    def exports(self, directory: Path) -> str:
        """Return what a shell sources to work with them: the settings, and a folder with psql."""
        settings = {LOCAL_SERVERS: self.mark(directory), **self.environment()}.items()
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in settings]
        # Appended: what the shell finds already stays what it finds.
        lines.append(f'export PATH="$PATH":{shlex.quote(str(postgres.find_binaries()))}\n')
        return "".join(lines)


class Stack:
    """One Kafka node and one Postgres server whose data lie under a directory."""

    def __init__(self, directory: Path) -> None:
        """Describe both; nothing starts yet."""
        self.directory = directory.resolve()
        self.directory.mkdir(parents=True, exist_ok=True)
        self.broker = Broker(self.directory / "kafka", port=choose(KAFKA_PORT))
        self.server = Server(self._postgres_directory(), port=choose(POSTGRES_PORT))

    @property
    def env_file(self) -> Path:
        """The file that a shell sources to work with the two."""
        return self.directory / "env"

    def up(self, *, outlive: bool) -> Addresses:
        """Start both, unless they run already; those of a demo are none that ``outlive`` it."""
        if found := self.left_running():
            if outlive and self.passing:
                raise NotStarted(
                    "a demo runs here, and its Kafka and Postgres end with it:"
                    f" use them by `. {self.env_file}`, or end it and run this again"
                )
            return found
        self.down()
        log.info("starting Postgres on port %d", self.server.port)
        self.server.start(outlive=outlive)
        log.info("starting Apache Kafka on port %d", self.broker.port)
        self.broker.start(outlive=outlive)
        addresses = Addresses(self.broker.bootstrap_servers, self.server.dsn())
        self._write_env(("" if outlive else PASSING) + addresses.exports(self.directory))
        return addresses

    def down(self) -> None:
        """Stop both, whoever started them."""
        self.broker.stop()
        self.server.stop()
        self.env_file.unlink(missing_ok=True)

    def remove(self) -> None:
        """Stop both and delete their data."""
        self.down()
        shutil.rmtree(self.server.directory, ignore_errors=True)
        shutil.rmtree(self.directory, ignore_errors=True)

    def left_running(self) -> Addresses | None:
        """Return the addresses of what an earlier command has running here, if both are there."""
        if not (self.broker.left_running() and self.server.left_running()):
            return None
        try:
            words = shlex.split(self.env_file.read_text(), comments=True)
        except FileNotFoundError:
            return None
        values = dict(word.split("=", 1) for word in words if "=" in word)
        return Addresses(*(values[name] for name in Addresses("", "").environment()))

    @property
    def passing(self) -> bool:
        """Whether those that run end with the demo that started them."""
        return self.env_file.read_text().startswith(PASSING)

    def _write_env(self, text: str) -> None:
        self.env_file.touch(mode=0o600)
        self.env_file.write_text(text)

    def _postgres_directory(self) -> Path:
        account = postgres.server_account()
        if account is None or postgres.reachable(self.directory, account):
            return self.directory / "postgres"
        mark = self.directory / "postgres-data"
        if not mark.exists():
            mark.write_text(secrets.token_hex(4))
        SYSTEM_DATA.mkdir(mode=0o755, exist_ok=True)
        return SYSTEM_DATA / mark.read_text()


@contextmanager
def running(directory: Path) -> Iterator[Addresses]:
    """Give a running Kafka and Postgres: those of the environment, those that run here, or our own.

    Whatever this starts, it stops at the end.
    """
    given = Addresses.given()
    # What a shell sourced from this very directory may have ended since, or be elsewhere.
    if given and os.environ.get(LOCAL_SERVERS) != given.mark(directory.resolve()):
        yield given
        return
    stack = Stack(directory)
    if found := stack.left_running():
        whose = "another demo: they end with it" if stack.passing else "`make up`"
        log.info("using the Kafka and Postgres of %s", whose)
        yield found
        return
    try:
        yield stack.up(outlive=False)
    finally:
        stack.down()


def choose(port: int) -> int | None:
    """Return the port if a server can have it; None lets the server find another."""
    return port if bindable(port) else None
