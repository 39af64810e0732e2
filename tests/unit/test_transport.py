"""What of the settings would let somebody listen on the way to Kafka or Postgres."""

import pytest

from processor.settings.transport import exposed_bus, exposed_store


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
