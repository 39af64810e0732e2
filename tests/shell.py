"""What the caller's shell says of servers that run already."""

import os
import socket
from collections.abc import Callable, Collection
from contextlib import suppress

import psycopg
import pytest

GIVEN = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("HUB_AUDIT_")}
"""Settings of the shell, taken away, so that none of them reaches a test by itself."""


def kafka_answers(bootstrap: str) -> bool:
    """Tell whether somebody listens at one of the addresses."""
    for address in bootstrap.split(","):
        host, _, port = address.strip().rpartition(":")
        with suppress(OSError, ValueError), socket.create_connection((host, int(port)), timeout=5):
            return True
    return False


def postgres_answers(dsn: str) -> bool:
    """Tell whether one can connect."""
    with suppress(psycopg.Error), psycopg.connect(dsn, connect_timeout=5):
        return True
    return False


SERVERS: dict[str, tuple[str, Callable[[str], bool]]] = {
    "HUB_AUDIT_KAFKA_BOOTSTRAP_SERVERS": ("kafka", kafka_answers),
    "HUB_AUDIT_POSTGRES_DSN": ("postgres_admin_dsn", postgres_answers),
}
"""By the setting that names a server: the fixture that gives it, and whether it answers."""

FIXTURES = frozenset(fixture for fixture, _ in SERVERS.values())

ENDED = """no server answers where {name} of this shell leads:
`make up` starts it again; after `unset {name}` the tests start one of their own"""


def end_without_servers(fixtures: Collection[str]) -> None:
    """End at once where servers of these fixtures are no more: every test would say so."""
    for name, (fixture, answers) in SERVERS.items():
        given = GIVEN.get(name)
        if given and fixture in fixtures and not answers(given):
            pytest.exit(ENDED.format(name=name), returncode=1)
