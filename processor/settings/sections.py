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
    """A group of settings: immutable, and closed to names it does not know.

    What stands below a setting is its meaning in the reference.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True
    )


class Kafka(Section):
    """How to reach The One Bus."""

    bootstrap_servers: Annotated[str, Field(min_length=1)] = "127.0.0.1:9092"
    """Where the bus is: host:port, several with commas."""
    topic_prefix: Prefix = ""
    """Stands before every topic's name, so that environments share a bus."""
    replication_factor: Annotated[int, Field(ge=1, le=10)] = 1
    """On how many brokers each topic is that we create; 3 for production."""
    session_timeout_ms: Annotated[int, Field(ge=1_000, le=300_000)] = 10_000
    """After so many milliseconds without a word a worker counts as gone."""
    heartbeat_interval_ms: Annotated[int, Field(ge=100, le=60_000)] = 1_000
    """Milliseconds between a worker's words; a third of the session at most."""
    request_timeout_ms: Annotated[int, Field(ge=500, le=120_000)] = 10_000
    """How many milliseconds a broker has to answer a request."""
    transaction_timeout_ms: Annotated[int, Field(ge=1_000, le=900_000)] = 10_000
    """After so many milliseconds the broker gives a batch's transaction up."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    """Whether what goes to the bus is encrypted (SSL), and a login needed (SASL)."""
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    """How the login is proved, with SASL."""
    sasl_username: str | None = None
    """Who logs in, with SASL."""
    sasl_password: SecretStr | None = None
    """The login's password, with SASL."""
    ca_file: FilePath | None = None
    """PEM file of those whose word is taken for who a broker is; the system's without it."""
    certificate_file: FilePath | None = None
    """PEM file of our own certificate, where the bus asks for one."""
    key_file: FilePath | None = None
    """PEM file of that certificate's key."""

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
    """Where identity events come from."""
    billing: Name = "raw.billing"
    """Where billing events come from."""
    permission: Name = "raw.permission"
    """Where permission events come from."""
    audit: Name = "raw.audit"
    """Where Hub Audit tells what is done to a log, its own events."""
    redrive: Name = "raw.redrive"
    """Where operators send dead letters again."""


class Postgres(Section):
    """How to reach the store."""

    dsn: SecretStr = SecretStr("postgresql://127.0.0.1:5432/hub_audit")
    """Where the store is, and who logs in."""
    connections: Annotated[int, Field(ge=2, le=64)] = 4
    """How many connections a process has at most; `serve` has its own number."""
    statement_timeout_seconds: Annotated[float, Field(ge=1, le=600)] = 30.0
    """After so many seconds a statement is given up."""

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
    """How many records a batch has at most."""
    bytes_max: Annotated[int, Field(ge=65_536, le=67_108_864)] = 4_194_304
    """How many bytes the records of a batch have at most."""
    gather_ms: Annotated[int, Field(ge=0, le=1_000)] = 20
    """How many milliseconds a small batch waits for more."""


class Forward(Section):
    """How SIEM subscriptions are served; the public address is what subscribers are told."""

    public_bootstrap_servers: str = ""
    """Where SIEMs reach the bus, as they are told; ours without it."""
    public_security_protocol: str = ""
    """The protocol they are told; ours without it."""
    heartbeat_seconds: Annotated[float, Field(ge=1, le=3_600)] = 60.0
    """After so many seconds of silence a SIEM gets a heartbeat."""
    lease_seconds: Annotated[float, Field(ge=2, le=300)] = 10.0
    """After so many seconds without a word a forwarder's subscriptions are others'."""


class Defend(Section):
    """How the security dashboard reads; what it looks for is not a matter of settings."""

    records_max: Annotated[int, Field(ge=1, le=10_000)] = 1_000
    """How many records are looked at in one go."""
    commit_seconds: Annotated[float, Field(ge=0.1, le=60)] = 1.0
    """How often, in seconds, its place on the topics is committed."""
    stand_seconds_max: Annotated[float, Field(ge=1, le=600)] = 30.0
    """Ends the process when nothing moved for so many seconds and records wait."""
    signals_max: Annotated[int, Field(ge=10_000, le=100_000_000)] = 1_000_000
    """How many signals are held in memory at most; a million take 1 GB."""


class Maintain(Section):
    """When and how gently partitions are maintained."""

    interval_seconds: Annotated[float, Field(ge=1, le=86_400)] = 300.0
    """Seconds from one round to the next."""
    seal_grace_hours: Annotated[float, Field(ge=0, le=168)] = 2.0
    """How many hours after its end a day is sealed, for events that come late."""
    rest: Annotated[float, Field(ge=0, le=20)] = 1.0
    """The pause after each step of sealing, in times of what it took: 0 is none."""


class Access(Section):
    """Whose word is taken for who somebody is; all of it is fixed, nothing comes from a token."""

    issuer: str = ""
    """Who issues tokens, as their `iss` says; nobody is let in without it."""
    jwks_url: str = ""
    """Where the issuer's public keys are (JWKS)."""
    audience: str = "hub-audit"
    """Whom a token has to be for, its `aud`."""
    client_id: str = "hub-audit"
    """Who the page is to the issuer, when somebody logs in."""
    authorize_url: str = ""
    """Where the issuer lets people log in; without it, tokens alone are taken."""
    token_url: str = ""
    """Where a login's code is exchanged for a token."""
    client_secret: SecretStr | None = None
    """What the page proves itself by to the issuer, where that asks for it."""
    token_seconds_max: Annotated[int, Field(ge=30, le=86_400)] = 300
    """How many seconds an access token may be good for, from its issue on."""

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
    """The address that page and API listen on."""
    port: Port = 8_080
    """The port that page and API listen on, and metrics and health of `serve`."""
    public_url: str = "http://127.0.0.1:8080"
    """Where browsers find the page: the beginning of the addresses it gives."""
    cursor_secret: SecretStr | None = None
    """Signs cursors; the same for all instances, drawn anew at each start without it."""
    search_seconds: Annotated[float, Field(ge=0.1, le=30)] = 2.0
    """How many seconds a search looks before it says how far it came."""
    requests_per_second: Annotated[float, Field(ge=0.1, le=10_000)] = 20.0
    """How many requests a second a person or program may make, lastingly."""
    burst_requests: Annotated[int, Field(ge=1, le=100_000)] = 100
    """How many requests they may make at once, after a rest."""
    connections: Annotated[int, Field(ge=1, le=64)] = 8
    """How many connections to Postgres reading has."""
    searches_at_once: Annotated[int, Field(ge=1, le=64)] | None = None
    """How many searches of an organization run at the same time."""
    exports_at_once: Annotated[int, Field(ge=1, le=1_000)] = 4
    """How many exports of an organization run at once, and how many large pages."""
    tails_at_once: Annotated[int, Field(ge=1, le=10_000)] = 50
    """How many live tails of an organization there are at once."""
    trusted_proxies: tuple[str, ...] = ("127.0.0.1", "::1")
    """Whose word is taken for where a request came from: addresses or networks."""

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
    """The address that metrics and health are served on."""
    port: Port = 9_464
    """The port that metrics and health are served on; not for `serve`."""


class Tracing(Section):
    """Where traces of batches go, with the extra ``otel`` installed."""

    enabled: bool = False
    """Whether batches are traced."""
    endpoint: Annotated[str, Field(pattern=r"^https?://")] = "http://127.0.0.1:4318/v1/traces"
    """Where traces go: OTLP over HTTP."""
    ratio: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Which share of the batches is traced: 1 is all of them."""


class Log(Section):
    """What is logged, and how."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """What is logged: this and all that is graver."""
    format: Literal["json", "text"] = "json"
    """One JSON object a line, or text for people."""
