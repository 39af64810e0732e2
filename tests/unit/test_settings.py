"""Settings: where they come from, what is refused, and what is never shown."""

import json
import re
from functools import reduce
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import SecretStr

from processor.errors import StartRefused
from processor.settings import Settings, redacted, variables
from processor.settings.address import address_of


def refused(config: Path | None = None, **env: str) -> list[str]:
    """Return the problems for which these settings are refused; names without prefix."""
    with pytest.raises(StartRefused) as caught:
        load(config, **env)
    return caught.value.problems


def load(config: Path | None = None, **env: str) -> Settings:
    """Read settings from a file and an environment; names without prefix."""
    return Settings.load(config=config, env={f"HUB_AUDIT_{n}": v for n, v in env.items()})


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    """Give a file of settings."""
    file = tmp_path / "hub-audit.toml"
    file.write_text('lanes = 6\ngroup = "of-file"\n[kafka]\ntopic_prefix = "eu."\n')
    return file


def test_defaults_are_those_of_the_documentation() -> None:
    """Without anything set there are twelve lanes, and the topics have their public names."""
    settings = load()
    assert settings.lanes == 12
    assert settings.retention_days == 90
    assert settings.raw_topics == (
        *("raw.identity", "raw.billing", "raw.permission", "raw.audit", "raw.redrive"),
    )
    assert (settings.http.host, settings.http.port) == ("127.0.0.1", 9464)


def test_environment_wins_over_file_over_default(toml: Path) -> None:
    """Each source overrides the next, setting by setting."""
    settings = load(toml, GROUP="of-environment")
    assert (settings.group, settings.lanes) == ("of-environment", 6)
    assert settings.topic("raw.identity") == "eu.raw.identity"
    assert settings.environment == "development"


def test_file_is_named_by_variable(toml: Path) -> None:
    """HUB_AUDIT_CONFIG names the file where no option does."""
    assert load(CONFIG=str(toml)).lanes == 6


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    """Mistyped names, values out of bounds, unreadable secrets: one start finds them all."""
    config = tmp_path / "wrong.toml"
    config.write_text("lane = 3\n[kafka]\nbootstrap = 'b:1'\n")
    problems = refused(
        config, LANES="0", HTTP_PROT="1", POSTGRES_DSN_FILE="/nowhere/dsn", LOG_LEVEL="LOUD"
    )
    assert problems == [
        "HUB_AUDIT_HTTP_PROT: no such setting; did you mean HUB_AUDIT_HTTP_PORT?",
        "HUB_AUDIT_POSTGRES_DSN_FILE: /nowhere/dsn cannot be read: No such file or directory",
        "lanes (HUB_AUDIT_LANES): Input should be greater than or equal to 1",
        "kafka.bootstrap: no such setting; did you mean kafka.bootstrap_servers?",
        "log.level (HUB_AUDIT_LOG_LEVEL): Input should be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'",
        "lane: no such setting; did you mean lanes?",
    ]


@pytest.mark.parametrize(
    ("env", "problem"),
    [
        (
            {"KAFKA_HEARTBEAT_INTERVAL_MS": "4000"},
            "kafka: heartbeat_interval_ms must be at most a third of session_timeout_ms",
        ),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "KAFKA_SASL_USERNAME": "hub"},
            "kafka: sasl_username and sasl_password are needed with SASL",
        ),
        ({"TOPICS_BILLING": "raw.identity"}, "settings: two topics have the same name"),
        (
            {"POSTGRES_DSN": "host=db password=s3cret"},
            (
                "postgres.dsn (HUB_AUDIT_POSTGRES_DSN): "
                "postgresql://user:password@host:port/database expected"
            ),
        ),
        (
            {"KAFKA_CA_FILE": "/nowhere/ca.pem"},
            "kafka.ca_file (HUB_AUDIT_KAFKA_CA_FILE): Path does not point to a file",
        ),
        (
            {"CONFIG": "/nowhere/x.toml"},
            "/nowhere/x.toml: cannot be read: No such file or directory",
        ),
        (
            {"POSTGRES_DSN": "postgresql://h/d", "POSTGRES_DSN_FILE": "/run/dsn"},
            "HUB_AUDIT_POSTGRES_DSN_FILE: HUB_AUDIT_POSTGRES_DSN is set as well; unset one of them",
        ),
        (
            {"ACCESS_JWKS_URL": "http://localhost.evil.example/jwks"},
            (
                "access.jwks_url (HUB_AUDIT_ACCESS_JWKS_URL): "
                "https:// expected; http:// goes to this machine alone"
            ),
        ),
        (
            {"SERVE_CURSOR_SECRET": "x" * 31},
            (
                "serve.cursor_secret (HUB_AUDIT_SERVE_CURSOR_SECRET): "
                "32 characters or more expected, as of `openssl rand -hex 32`"
            ),
        ),
    ],
    ids=["heartbeat", "sasl", "topics", "dsn", "ca", "config", "secret-twice", "issuer", "cursor"],
)
def test_what_does_not_fit_is_refused(env: dict[str, str], problem: str) -> None:
    """A setting that contradicts another one or the machine is one clear sentence."""
    assert refused(None, **env) == [problem]


def test_broken_file_is_refused(tmp_path: Path) -> None:
    """A file that is no TOML is named, with the place of the mistake."""
    config = tmp_path / "broken.toml"
    config.write_text("lanes = \n")
    assert refused(config) == [f"{config}: is not TOML: Invalid value (at line 1, column 9)"]


def test_certificate_that_is_none_is_refused(tmp_path: Path) -> None:
    """With TLS, files that hold no certificate are found before the first connection."""
    ca = tmp_path / "ca.pem"
    ca.write_text("no certificate")
    (problem,) = refused(KAFKA_SECURITY_PROTOCOL="SSL", KAFKA_CA_FILE=str(ca))
    assert problem.startswith("kafka: the TLS files do not fit together: ")


def test_secret_is_read_from_its_file(tmp_path: Path) -> None:
    """A variable with _FILE behind it names the file; the line's end is no part of the secret."""
    file = tmp_path / "dsn"
    file.write_text("postgresql://hub:s3cret@db/audit\n")
    dsn = load(POSTGRES_DSN_FILE=str(file)).postgres.dsn
    assert dsn.get_secret_value() == "postgresql://hub:s3cret@db/audit"


def test_secret_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """A file in another encoding is named, and nothing of what it holds."""
    file = tmp_path / "dsn"
    file.write_bytes(b"postgresql://hub:s3cr\xe9t@db/audit")
    assert refused(POSTGRES_DSN_FILE=str(file)) == [
        f"HUB_AUDIT_POSTGRES_DSN_FILE: {file} cannot be read: is not UTF-8"
    ]


@pytest.mark.parametrize(
    ("dsn", "shown"),
    [
        ("postgresql://hub:s3cret@db:5432/audit", "postgresql://hub:[redacted]@db:5432/audit"),
        ("postgresql://hub:s3%40cret@db/audit", "postgresql://hub:[redacted]@db/audit"),
        ("postgresql://hub@db/audit", "postgresql://hub@db/audit"),
        (
            "postgresql://db/audit?user=hub&password=s3cret&sslpassword=s3cret",
            "postgresql://db/audit?user=hub&password=[redacted]&sslpassword=[redacted]",
        ),
    ],
)
def test_password_of_the_dsn_is_redacted(dsn: str, shown: str) -> None:
    """What is shown says where the database is and as whom, not by which password."""
    assert redacted(load(POSTGRES_DSN=dsn))["postgres"]["dsn"] == shown


def test_no_secret_is_ever_shown() -> None:
    """Neither the representation nor what `config show` prints has a secret in it."""
    secret = "hunter2-canary"
    settings = load(
        SERVE_CURSOR_SECRET=secret * 3,
        KAFKA_SASL_PASSWORD=secret,
        KAFKA_SASL_USERNAME="hub",
        KAFKA_SECURITY_PROTOCOL="SASL_PLAINTEXT",
        POSTGRES_DSN=f"postgresql://hub:{secret}@db/audit",
    )
    assert secret not in repr(settings) + str(settings) + str(redacted(settings))
    assert settings.kafka.client_options()["sasl_plain_password"] == secret


def test_no_problem_quotes_a_value() -> None:
    """What was refused is named, not repeated: it may be a secret in the wrong place."""
    canary = "hunter2-canary"
    problems = refused(
        LANES=canary, POSTGRES_DSN=canary, POSTGRES_CONNECTIONS=canary, SERVE_CURSOR_SECRET=canary
    )
    assert len(problems) == 4
    assert canary not in "".join(problems)


@pytest.mark.parametrize("character", "/?#@[]")
@pytest.mark.parametrize("before", ["hunter", "5432"])
def test_password_that_is_taken_for_an_address_is_refused(before: str, character: str) -> None:
    """Unless it is written as an address wants it; nothing of it is in the message."""
    password = f"{before}{character}canary"
    (problem,) = refused(POSTGRES_DSN=f"postgresql://hub:{password}@db:5432/audit?sslmode=prefer")
    assert "host and port cannot be told from the password" in problem
    assert not {"canary", before, "hub"} & set(re.split(r"\W", problem.partition("told")[2]))
    written = f"postgresql://hub:{quote(password, safe='')}@db:5432/audit"
    assert load(POSTGRES_DSN=written).postgres.dsn.get_secret_value() == written


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://db/audit",
        "postgresql://hub:a:b@[::1]:5432/audit",
        "postgresql://hub@one:5432,two/audit?user=hub@azure",
        "postgresql:///audit?host=/var/run/postgresql",
    ],
)
def test_addresses_of_every_kind_are_taken(dsn: str) -> None:
    """Several hosts, a socket, an address of version 6, a colon in the password."""
    assert load(POSTGRES_DSN=dsn).postgres.dsn.get_secret_value() == dsn


def test_variables_are_the_paths_of_the_settings() -> None:
    """Every setting has one variable, whose name is its path."""
    names = variables()
    assert names["HUB_AUDIT_KAFKA_BOOTSTRAP_SERVERS"] == ("kafka", "bootstrap_servers")
    assert names["HUB_AUDIT_ENVIRONMENT"] == ("environment",)
    assert len(set(names.values())) == len(names)


DEFAULTS: dict[str, Any] = {
    variable: reduce(getattr, path, Settings()) for variable, path in variables().items()
}
SHOWN = [name for name, value in DEFAULTS.items() if not isinstance(value, SecretStr | None)]


@pytest.mark.parametrize("variable", SHOWN)
def test_every_setting_can_be_set_by_its_variable(variable: str) -> None:
    """Its default, written as the reference shows it, is read as what it was."""
    value = DEFAULTS[variable]
    text = json.dumps(value) if isinstance(value, bool | tuple) else str(value)
    assert Settings.load(env={variable: text}) == Settings()


def test_address_of_the_page_ends_before_its_paths() -> None:
    """With a slash at its end, links would have two of them."""
    assert load(SERVE_PUBLIC_URL="https://audit.example/").serve.public_url == (
        "https://audit.example"
    )


def test_settings_cannot_be_changed() -> None:
    """What was checked at the start stays as it was checked."""
    with pytest.raises(ValueError, match="frozen"):
        load().lanes = 3  # type: ignore[misc]


def test_address_has_nothing_of_who_logs_in() -> None:
    """Hosts with their ports, also where a socket, an IPv6 address or several are meant."""
    addresses = {
        "postgresql://hub:s%40cret@db.internal/audit": "db.internal:5432",
        "postgresql://hub:s3cret@a:6000,b/audit?port=7000": "a:6000,b:7000",
        "postgresql://hub@[::1]/audit": "[::1]:5432",
        "postgresql://hub@[::1]:6000/audit": "[::1]:6000",
        "postgresql:///audit?host=/run/postgresql": "/run/postgresql:5432",
        "postgresql:///audit?password=s3cret": "localhost:5432",
    }
    assert {dsn: address_of(dsn) for dsn in addresses} == addresses
