"""What of the settings would let somebody listen on the way to Kafka or Postgres."""

from pathlib import Path

import pytest

from processor.settings.transport import exposed_bus, exposed_store, tls_problems


@pytest.mark.parametrize(
    ("servers", "protocol", "said"),
    [
        ("127.0.0.1:9092,localhost:9093", "PLAINTEXT", ""),
        ("kafka-1:9092", "SASL_SSL", ""),
        ("kafka-1:9092", "SSL", ""),
        ("localhost:1,kafka-1:9092", "PLAINTEXT", "what goes to Kafka at kafka-1:9092 can be read"),
        ("kafka-1:9092", "SASL_PLAINTEXT", "what goes to Kafka at kafka-1:9092 can be read"),
    ],
)
def test_way_to_the_bus(servers: str, protocol: str, said: str) -> None:
    """Only TLS, or no way at all, keeps records from being read."""
    assert exposed_bus(servers, protocol) == (said and f"{said} on the way")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("hub@127.0.0.1:5432/audit", ""),
        ("hub@[::1]:5432/audit", ""),
        ("hub@/audit?host=/var/run/postgresql", ""),
        ("hub:p%40ss@db:5432/audit?sslmode=verify-full&sslrootcert=/ca.pem", ""),
        ("hub@db/audit?sslmode=require", "who answers as Postgres at db is not verified"),
        ("hub@db/audit", "what goes to Postgres at db can be read on the way"),
        ("hub@db/audit?sslmode=prefer", "what goes to Postgres at db can be read on the way"),
        ("hub@localhost,db:1/audit", "what goes to Postgres at db:1 can be read on the way"),
        ("hub@/audit?host=db", "what goes to Postgres at db can be read on the way"),
    ],
)
def test_way_to_the_store(address: str, said: str) -> None:
    """Only a verified server, or one on this machine, keeps rows and the password to itself."""
    assert exposed_store(f"postgresql://{address}") == said


@pytest.mark.parametrize(
    ("options", "problems"),
    [
        ("", []),
        *((f"sslmode={mode}", []) for mode in ("disable", "allow", "prefer", "require")),
        ("sslmode=verify-full&sslrootcert={file}", []),
        ("sslmode=verify-ca&sslrootcert={file}&sslcert={file}&sslkey={file}&sslcrl={file}", []),
        (
            "sslmode=always",
            ["sslmode is one of disable, allow, prefer, require, verify-full, verify-ca"],
        ),
        (
            "sslmode=verify-ca",
            ["sslmode=verify-ca needs sslrootcert, the file of the authority that is trusted"],
        ),
        *(
            (f"sslmode=require&{name}=/nowhere", [f"{name}: there is no file /nowhere"])
            for name in ("sslrootcert", "sslcert", "sslkey", "sslcrl")
        ),
    ],
)
def test_tls_of_the_store_is_meant_as_it_is_written(
    tmp_path: Path, options: str, problems: list[str]
) -> None:
    """A mode that is none, an authority that is missing, a file that is not there."""
    file = tmp_path / "some.pem"
    file.touch()
    dsn = f"postgresql://hub@db/audit?{options.format(file=file)}"
    assert [*tls_problems(dsn)] == problems
