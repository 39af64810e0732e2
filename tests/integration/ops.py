"""What the tests of the operators' side share: settings with a prefix of their own."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from confluent_kafka.admin import AdminClient

from processor.settings import Settings
from tests.integration import bus


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
