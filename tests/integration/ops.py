"""What the tests of the operators' side share: settings with a prefix of their own."""

import asyncio
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from confluent_kafka import admin as kafka_admin
from confluent_kafka.admin import AdminClient

from processor.emit import topics
from processor.local.port import free_port
from processor.settings import Settings
from tests.integration import bus

DEPLOY = Path(__file__).parents[2] / "deploy"
LOGINS = (DEPLOY / "postgres" / "logins.sql").read_text(encoding="utf-8")
OPERATOR = re.findall(r"\w+", LOGINS.partition("hub_audit_operator LOGIN IN ROLE")[2])
"""The roles of the login as which people work."""


def settings_of(bootstrap: str, dsn: str = "postgresql://127.0.0.1:1/none", **env: str) -> Settings:
    """Return settings of an environment with its own topic prefix and group; three lanes."""
    prefix = f"ops{secrets.token_hex(4)}."
    given = {
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap,
        "KAFKA_TOPIC_PREFIX": prefix,
        "POSTGRES_DSN": dsn,
        "GROUP": f"{prefix}group",
        "LANES": "3",
    }
    return Settings.load(env={f"HUB_AUDIT_{name}": value for name, value in (given | env).items()})


def environment_of(settings: Settings) -> dict[str, str]:
    """Return the environment of a command that works on the same bus and store."""
    return {
        "HUB_AUDIT_KAFKA_BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "HUB_AUDIT_KAFKA_TOPIC_PREFIX": settings.kafka.topic_prefix,
        "HUB_AUDIT_POSTGRES_DSN": settings.postgres.dsn.get_secret_value(),
        "HUB_AUDIT_GROUP": settings.group,
        "HUB_AUDIT_LANES": "3",
    }


def topics_of(settings: Settings) -> list[str]:
    """Return the topics that begin with the settings' prefix."""
    admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers})
    known = admin.list_topics(timeout=10).topics
    return sorted(name for name in known if name.startswith(settings.kafka.topic_prefix))


@contextmanager
def cleaned(settings: Settings) -> Iterator[Settings]:
    """Delete, at the end of a block, every topic of the prefix."""
    try:
        yield settings
    finally:
        if names := topics_of(settings):
            bus.delete(settings.kafka.bootstrap_servers, names)


@contextmanager
def two_lanes(bootstrap: str, dsn: str) -> Iterator[Settings]:
    """Have an environment with two lanes and its topics for the length of a block."""
    own = settings_of(bootstrap, dsn, LANES="2", HTTP_PORT=str(free_port()))
    with cleaned(own):
        asyncio.run(topics.create(own))
        yield own


def configure(bootstrap: str, topic: str, option: str, value: str) -> None:
    """Set one option of a topic, and wait until the broker goes by it."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    change = kafka_admin.ConfigEntry(  # type: ignore[attr-defined] # exported in fact, as are these
        option,
        value,
        incremental_operation=kafka_admin.AlterConfigOpType.SET,  # type: ignore[attr-defined]
    )
    kind = kafka_admin.ResourceType.TOPIC  # type: ignore[attr-defined]
    resource = kafka_admin.ConfigResource(kind, topic, incremental_configs=[change])  # type: ignore[attr-defined]
    (changed,) = admin.incremental_alter_configs([resource]).values()
    changed.result()
    deadline = time.monotonic() + bus.READ_SECONDS_MAX
    while time.monotonic() < deadline:
        (described,) = admin.describe_configs([resource]).values()
        if described.result()[option].value == value:
            return
    raise TimeoutError(f"{topic} does not get {option}={value}")
