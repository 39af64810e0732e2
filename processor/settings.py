"""Settings: environment over TOML file over defaults; checked in full before anything starts.

Environment names are ``HUB_AUDIT_`` and the path in the model, joined by ``_``:
``HUB_AUDIT_KAFKA_BOOTSTRAP_SERVERS``, ``HUB_AUDIT_LANES``. A secret may stand in a file instead,
named by the variable with ``_FILE`` behind it. What is not known is refused: a mistyped setting
that is silently ignored is found on the day it was needed.
"""

import difflib
import os
import re
import ssl
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FilePath,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)

from processor.errors import StartRefused

PREFIX = "HUB_AUDIT_"
CONFIG_VARIABLE = "HUB_AUDIT_CONFIG"
FILE_SUFFIX = "_FILE"
SUGGESTION_LIKENESS = 0.6
REDACTED = "[redacted]"

# Greedy: a password that was not quoted may hold an @ of its own.
_USERINFO_PASSWORD = re.compile(r"^(\w+://[^:/@]*:).*@")
_QUERY_PASSWORD = re.compile(r"([?&](?:ssl)?password=)[^&]*", re.IGNORECASE)

_SAFE_URL = re.compile(r"https://[^/]|http://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?(/|$)")

Port = Annotated[int, Field(ge=1, le=65_535)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,200}$")]
Prefix = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,64}$")]


class Section(BaseModel):
    """A group of settings: immutable, and closed to names it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Kafka(Section):
    """How to reach The One Bus."""

    bootstrap_servers: Annotated[str, Field(min_length=1)] = "127.0.0.1:9092"
    topic_prefix: Prefix = ""
    replication_factor: Annotated[int, Field(ge=1, le=10)] = 1
    session_timeout_ms: Annotated[int, Field(ge=1_000, le=300_000)] = 10_000
    heartbeat_interval_ms: Annotated[int, Field(ge=100, le=60_000)] = 1_000
    request_timeout_ms: Annotated[int, Field(ge=500, le=120_000)] = 10_000
    transaction_timeout_ms: Annotated[int, Field(ge=1_000, le=900_000)] = 10_000
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ca_file: FilePath | None = None
    certificate_file: FilePath | None = None
    key_file: FilePath | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.heartbeat_interval_ms * 3 > self.session_timeout_ms:
            raise ValueError("heartbeat_interval_ms must be at most a third of session_timeout_ms")
        if self.security_protocol.startswith("SASL") and not (
            self.sasl_username and self.sasl_password
        ):
            raise ValueError("sasl_username and sasl_password are needed with SASL")
        if self.security_protocol.endswith("SSL"):
            try:
                self._tls()
            except ssl.SSLError as error:
                raise ValueError(f"the TLS files do not fit together: {error}") from error
        return self

    def client_options(self) -> dict[str, Any]:
        """Return what every Kafka client is given: where to connect, and as whom."""
        options: dict[str, Any] = {"bootstrap_servers": self.bootstrap_servers}
        if self.security_protocol != "PLAINTEXT":
            options["security_protocol"] = self.security_protocol
        if self.security_protocol.endswith("SSL"):
            options["ssl_context"] = self._tls()
        if self.sasl_password and self.security_protocol.startswith("SASL"):
            options["sasl_mechanism"] = self.sasl_mechanism
            options["sasl_plain_username"] = self.sasl_username
            options["sasl_plain_password"] = self.sasl_password.get_secret_value()
        return options

    def _tls(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca_file)
        if self.certificate_file:
            context.load_cert_chain(self.certificate_file, self.key_file)
        return context


class Topics(Section):
    """Names of the raw topics, without prefix; the canonical ones are fixed by the contract."""

    identity: Name = "raw.identity"
    billing: Name = "raw.billing"
    permission: Name = "raw.permission"
    audit: Name = "raw.audit"
    redrive: Name = "raw.redrive"


class Postgres(Section):
    """How to reach the store."""

    dsn: SecretStr = SecretStr("postgresql://127.0.0.1:5432/hub_audit")
    connections: Annotated[int, Field(ge=2, le=64)] = 4
    statement_timeout_seconds: Annotated[float, Field(ge=1, le=600)] = 30.0

    @field_validator("dsn")
    @classmethod
    def _is_one(cls, dsn: SecretStr) -> SecretStr:
        if not dsn.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("postgresql://user:password@host:port/database expected")
        return dsn


class BatchBounds(Section):
    """What one batch of a lane holds at most, and how long a small one waits for more."""

    records_max: Annotated[int, Field(ge=1, le=10_000)] = 2_000
    bytes_max: Annotated[int, Field(ge=65_536, le=67_108_864)] = 4_194_304
    gather_ms: Annotated[int, Field(ge=0, le=1_000)] = 20


class Forward(Section):
    """How SIEM subscriptions are served."""

    heartbeat_seconds: Annotated[float, Field(ge=1, le=3_600)] = 60.0
    lease_seconds: Annotated[float, Field(ge=2, le=300)] = 10.0


class Maintain(Section):
    """When and how gently partitions are maintained."""

    interval_seconds: Annotated[float, Field(ge=1, le=86_400)] = 300.0
    seal_grace_hours: Annotated[float, Field(ge=0, le=168)] = 2.0
    rest: Annotated[float, Field(ge=0, le=20)] = 1.0


class Access(Section):
    """Whose word is taken for who somebody is; all of it is fixed, nothing comes from a token."""

    issuer: str = ""
    jwks_url: str = ""
    audience: str = "hub-audit"
    client_id: str = "hub-audit"
    authorize_url: str = ""
    token_url: str = ""
    client_secret: SecretStr | None = None
    token_seconds_max: Annotated[int, Field(ge=30, le=86_400)] = 300

    @field_validator("issuer", "jwks_url", "authorize_url", "token_url")
    @classmethod
    def _cannot_be_listened_to(cls, url: str) -> str:
        if url and not _SAFE_URL.match(url):
            raise ValueError("https:// expected; http:// goes to this machine alone")
        return url


class Serve(Section):
    """The page and the API."""

    host: str = "127.0.0.1"
    port: Port = 8_080
    public_url: str = "http://127.0.0.1:8080"
    cursor_secret: SecretStr | None = None
    search_seconds: Annotated[float, Field(ge=0.1, le=30)] = 2.0
    requests_per_second: Annotated[float, Field(ge=0.1, le=10_000)] = 20.0
    burst_requests: Annotated[int, Field(ge=1, le=100_000)] = 100
    connections: Annotated[int, Field(ge=1, le=64)] = 8


class Http(Section):
    """Where metrics and health are served."""

    host: str = "127.0.0.1"
    port: Port = 9_464


class Log(Section):
    """What is logged, and how."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    format: Literal["json", "text"] = "json"


class Settings(Section):
    """Everything that can be set."""

    environment: Name = "development"
    group: Name = "hub-audit"
    lanes: Annotated[int, Field(ge=1, le=1_024)] = 12
    retention_days: Annotated[int, Field(ge=1, le=3_650)] = 90
    kafka: Kafka = Kafka()
    topics: Topics = Topics()
    postgres: Postgres = Postgres()
    batch: BatchBounds = BatchBounds()
    forward: Forward = Forward()
    maintain: Maintain = Maintain()
    access: Access = Access()
    serve: Serve = Serve()
    http: Http = Http()
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

    @classmethod
    def load(cls, *, config: Path | None = None, env: Mapping[str, str] | None = None) -> Self:
        """Read the settings; raises StartRefused with every problem found, not only the first."""
        env = os.environ if env is None else env
        config = config or (Path(env[CONFIG_VARIABLE]) if env.get(CONFIG_VARIABLE) else None)
        problems: list[str] = []
        values = _from_file(config, problems)
        _overlay(values, _from_environment(env, problems))
        try:
            settings = cls.model_validate(values)
        except ValidationError as error:
            problems += [_said(problem) for problem in error.errors()]
        if problems:
            raise StartRefused(problems)
        return settings


def variables() -> dict[str, tuple[str, ...]]:
    """Return every environment variable that is read, and the path of the setting it sets."""
    return {PREFIX + "_".join(path).upper(): path for path in _paths(Settings)}


def _paths(model: type[BaseModel], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from _paths(kind, (*above, name))
        else:
            yield (*above, name)


def _from_file(config: Path | None, problems: list[str]) -> dict[str, Any]:
    if config is None:
        return {}
    try:
        return tomllib.loads(config.read_text(encoding="utf-8"))
    except OSError as error:
        problems.append(f"{config}: cannot be read: {error.strerror}")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.append(f"{config}: is not TOML: {error}")
    return {}


def _from_environment(env: Mapping[str, str], problems: list[str]) -> dict[str, Any]:
    known = variables()
    values: dict[str, Any] = {}
    for variable in sorted(env):
        direct = variable.removesuffix(FILE_SUFFIX)
        if not variable.startswith(PREFIX) or variable == CONFIG_VARIABLE:
            continue
        if variable in known:
            _put(values, known[variable], env[variable])
        elif direct in known:
            if direct in env:
                problems.append(f"{variable}: {direct} is set as well; unset one of them")
            elif (secret := _secret(variable, Path(env[variable]), problems)) is not None:
                _put(values, known[direct], secret)
        else:
            problems.append(f"{variable}: no such setting{_suggestion(variable, known)}")
    return values


def _secret(variable: str, file: Path, problems: list[str]) -> str | None:
    try:
        return file.read_text(encoding="utf-8").rstrip("\n")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        problems.append(f"{variable}: {file} cannot be read: {why}")
        return None


def _put(values: dict[str, Any], path: tuple[str, ...], value: str) -> None:
    *sections, name = path
    for section in sections:
        values = values.setdefault(section, {})
    values[name] = value


def _overlay(values: dict[str, Any], over: Mapping[str, Any]) -> None:
    for name, value in over.items():
        below = values.get(name)
        if isinstance(value, Mapping) and isinstance(below, dict):
            _overlay(below, value)
        else:
            values[name] = value


def _said(problem: Mapping[str, Any]) -> str:
    """Return one sentence of a validation error, with the name to be changed and no value."""
    path = tuple(str(part) for part in problem["loc"])
    variable = PREFIX + "_".join(path).upper()
    name = ".".join(path) or "settings"
    if problem["type"] == "extra_forbidden":
        known = [".".join(known) for known in _paths(Settings)]
        return f"{name}: no such setting{_suggestion(name, known)}"
    place = f"{name} ({variable})" if variable in variables() else name
    return f"{place}: {problem['msg'].removeprefix('Value error, ')}"


def _suggestion(name: str, known: Mapping[str, Any] | list[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=SUGGESTION_LIKENESS)
    return f"; did you mean {close[0]}?" if close else ""


def redacted(settings: Settings) -> dict[str, Any]:
    """Return the settings as they may be shown: secrets replaced, within the DSN its password."""
    shown: dict[str, Any] = settings.model_dump(mode="json")
    shown["postgres"]["dsn"] = _without_password(settings.postgres.dsn.get_secret_value())
    return shown


def _without_password(dsn: str) -> str:
    """Return the DSN with its passwords replaced: the one before the host and that of a query."""
    shown = _USERINFO_PASSWORD.sub(rf"\1{REDACTED}@", dsn)
    return _QUERY_PASSWORD.sub(rf"\1{REDACTED}", shown)
