"""Settings: environment over TOML file over defaults; checked in full before anything starts.

Environment names are ``HUB_AUDIT_`` and the path in the model, joined by ``_``:
``HUB_AUDIT_KAFKA_BOOTSTRAP_SERVERS``, ``HUB_AUDIT_LANES``. A secret may stand in a file instead,
named by the variable with ``_FILE`` behind it. What is not known is refused: a mistyped setting
that is silently ignored is found on the day it was needed.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator

from processor.errors import StartRefused
from processor.settings import sources
from processor.settings.sections import (
    Access,
    BatchBounds,
    Defend,
    Forward,
    Http,
    Kafka,
    Log,
    Maintain,
    Name,
    Postgres,
    Section,
    Serve,
    Topics,
    Tracing,
)
from schemas.raw import FAMILIES

__all__ = ["Access", "Http", "Settings", "Tracing", "redacted", "variables"]

REDACTED = "[redacted]"

# Greedy: a password that was not quoted may hold an @ of its own.
_USERINFO_PASSWORD = re.compile(r"^(\w+://[^:/@]*:).*@")
_QUERY_PASSWORD = re.compile(r"([?&](?:ssl)?password=)[^&]*", re.IGNORECASE)


class Settings(Section):
    """Everything that can be set."""

    environment: Name = "development"
    """Whose database and transactions these are: one name for each environment."""
    group: Name = "hub-audit"
    """The workers' consumer group; lanes are shared among those of one."""
    lanes: Annotated[int, Field(ge=1, le=1_024)] = 12
    """How many partitions every raw topic has."""
    retention_days: Annotated[int, Field(ge=1, le=3_650)] = 90
    """How many days entries are kept, and canonical topics that are made from now on."""
    kafka: Kafka = Kafka()
    topics: Topics = Topics()
    postgres: Postgres = Postgres()
    batch: BatchBounds = BatchBounds()
    forward: Forward = Forward()
    defend: Defend = Defend()
    maintain: Maintain = Maintain()
    access: Access = Access()
    serve: Serve = Serve()
    http: Http = Http()
    tracing: Tracing = Tracing()
    log: Log = Log()

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = list(self.topics.model_dump().values())
        if len(set(names)) != len(names):
            raise ValueError("two topics have the same name")
        return self

    def topic(self, name: str) -> str:
        """Return the name that ``name`` has on Kafka: with the prefix of this environment."""
        return self.kafka.topic_prefix + name

    @property
    def raw_topics(self) -> tuple[str, ...]:
        """The topics that are consumed, as they are named on Kafka."""
        names = self.topics
        raw = (names.identity, names.billing, names.permission, names.audit, names.redrive)
        return tuple(self.topic(name) for name in raw)

    @property
    def families(self) -> dict[str, str]:
        """Which family of events comes by which topic, as that is named on Kafka."""
        return {self.topic(getattr(self.topics, family)): family for family in FAMILIES}

    @classmethod
    def load(cls, *, config: Path | None = None, env: Mapping[str, str] | None = None) -> Self:
        """Read the settings; raises StartRefused with every problem found, not only the first."""
        paths = sources.paths(cls)
        values, problems = sources.read(paths, config, os.environ if env is None else env)
        try:
            settings = cls.model_validate(values)
        except ValidationError as error:
            problems += [sources.said(problem, paths) for problem in error.errors()]
        if problems:
            raise StartRefused(problems)
        return settings


def variables() -> dict[str, tuple[str, ...]]:
    """Return every environment variable that is read, and the path of the setting it sets."""
    return sources.variables(sources.paths(Settings))


def redacted(settings: Settings) -> dict[str, Any]:
    """Return the settings as they may be shown: secrets replaced, within the DSN its password."""
    shown: dict[str, Any] = settings.model_dump(mode="json")
    shown["postgres"]["dsn"] = _without_password(settings.postgres.dsn.get_secret_value())
    return shown


def _without_password(dsn: str) -> str:
    """Return the DSN with its passwords replaced: the one before the host and that of a query."""
    shown = _USERINFO_PASSWORD.sub(rf"\1{REDACTED}@", dsn)
    return _QUERY_PASSWORD.sub(rf"\1{REDACTED}", shown)
