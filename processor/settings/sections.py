"""What can be set, section by section, with bounds and defaults."""

import json
import re
import ssl
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FilePath,
    SecretStr,
    field_validator,
    model_validator,
)

from processor.settings.address import misread
from processor.settings.transport import tls_problems

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
            except OSError as error:  # SSLError is one as well
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
        if misread(dsn.get_secret_value()):
            raise ValueError(
                "host and port cannot be told from the password: of the characters in it that mean"
                " something in an address, / is written %2F, ? %3F, # %23, @ %40, [ %5B and ] %5D"
            )
        if problems := list(tls_problems(dsn.get_secret_value())):
            raise ValueError("; ".join(problems))
        return dsn


class BatchBounds(Section):
    """What one batch of a lane holds at most, and how long a small one waits for more."""

    records_max: Annotated[int, Field(ge=1, le=10_000)] = 2_000
    bytes_max: Annotated[int, Field(ge=65_536, le=67_108_864)] = 4_194_304
    gather_ms: Annotated[int, Field(ge=0, le=1_000)] = 20


class Forward(Section):
    """How SIEM subscriptions are served; the public address is what subscribers are told."""

    public_bootstrap_servers: str = ""
    public_security_protocol: str = ""
    heartbeat_seconds: Annotated[float, Field(ge=1, le=3_600)] = 60.0
    lease_seconds: Annotated[float, Field(ge=2, le=300)] = 10.0


class Defend(Section):
    """How the security dashboard reads; what it looks for is not a matter of settings."""

    records_max: Annotated[int, Field(ge=1, le=10_000)] = 1_000
    commit_seconds: Annotated[float, Field(ge=0.1, le=60)] = 1.0
    stand_seconds_max: Annotated[float, Field(ge=1, le=600)] = 30.0
    signals_max: Annotated[int, Field(ge=10_000, le=100_000_000)] = 1_000_000


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


SECRET_CHARACTERS_MIN = 32


class Serve(Section):
    """The page and the API; unless set, an organization searches once per four connections."""

    host: str = "127.0.0.1"
    port: Port = 8_080
    public_url: str = "http://127.0.0.1:8080"
    cursor_secret: SecretStr | None = None
    search_seconds: Annotated[float, Field(ge=0.1, le=30)] = 2.0
    requests_per_second: Annotated[float, Field(ge=0.1, le=10_000)] = 20.0
    burst_requests: Annotated[int, Field(ge=1, le=100_000)] = 100
    connections: Annotated[int, Field(ge=1, le=64)] = 8
    searches_at_once: Annotated[int, Field(ge=1, le=64)] | None = None
    exports_at_once: Annotated[int, Field(ge=1, le=1_000)] = 4
    tails_at_once: Annotated[int, Field(ge=1, le=10_000)] = 50
    trusted_proxies: tuple[str, ...] = ("127.0.0.1", "::1")

    @field_validator("cursor_secret")
    @classmethod
    def _cannot_be_guessed(cls, secret: SecretStr | None) -> SecretStr | None:
        """Refuse a secret short enough to be found from a cursor that it has signed."""
        if secret is not None and len(secret.get_secret_value()) < SECRET_CHARACTERS_MIN:
            raise ValueError(
                f"{SECRET_CHARACTERS_MIN} characters or more expected, as of `openssl rand -hex 32`"
            )
        return secret

    @field_validator("public_url")
    @classmethod
    def _ends_before_the_path(cls, url: str) -> str:
        """Take the slash away that every path of ours begins with."""
        return url.rstrip("/")

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _from_json(cls, given: object) -> object:
        """Read a list that stands in a variable."""
        if not isinstance(given, str):
            return given
        try:
            return json.loads(given)
        except ValueError as error:
            raise ValueError('a list in JSON expected, such as ["10.0.0.0/8"]') from error


class Http(Section):
    """Where metrics and health are served."""

    host: str = "127.0.0.1"
    port: Port = 9_464


class Tracing(Section):
    """Where traces of batches go, with the extra ``otel`` installed."""

    enabled: bool = False
    endpoint: Annotated[str, Field(pattern=r"^https?://")] = "http://127.0.0.1:4318/v1/traces"
    ratio: Annotated[float, Field(ge=0, le=1)] = 1.0


class Log(Section):
    """What is logged, and how."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    format: Literal["json", "text"] = "json"
