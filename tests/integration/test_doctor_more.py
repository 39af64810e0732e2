"""What the doctor finds beside what a worker needs: clocks, roles, retention, who reads."""

import json
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from processor.doctor import Finding, Level, bus, readers, store
from processor.emit import topics
from processor.local.port import free_port
from processor.settings import Settings
from tests.acceptance.site import issuing
from tests.conftest import database, dsn_of
from tests.integration.ops import cleaned, configure, settings_of
from tests.integration.store import NOW, query
from tests.integration.test_doctor import stranger


@pytest.fixture
def settings(kafka: str, postgres_dsn: str) -> Iterator[Settings]:
    """Give settings for topics and a database of the test's own; the topics are not there yet."""
    with cleaned(settings_of(kafka, postgres_dsn, HTTP_PORT=str(free_port()))) as settings:
        yield settings


async def of_store(settings: Settings, check: str) -> Finding:
    """Return what the doctor says of the store under a heading."""
    findings = await store.examine(settings, bus_reached=False)
    (finding,) = [each for each in findings if each.check == check]
    return finding


@pytest.mark.parametrize(
    ("ahead", "level", "said"),
    [
        (0.4, Level.OK, "within 2 s of this machine's"),
        (-3.0, Level.WARNING, "Postgres' clock is -3.0 s from this machine's"),
        (61.0, Level.WARNING, "Postgres' clock is +61.0 s from this machine's"),
    ],
)
def test_clock_of_the_database_is_compared(ahead: float, level: Level, said: str) -> None:
    """A database that is seconds off judges leases, days and retention differently."""
    finding = store._clock(ahead)
    assert (finding.level, finding.said) == (level, said)


async def test_broker_with_a_clock_ahead_is_noticed(settings: Settings) -> None:
    """A record from the future says that the broker that stamped it errs, or this machine."""
    await topics.create(settings)
    raw = settings.topic("raw.identity")
    configure(settings.kafka.bootstrap_servers, raw, "message.timestamp.type", "CreateTime")
    producer = Producer({"bootstrap.servers": settings.kafka.bootstrap_servers})
    producer.produce(raw, b"{}", partition=1, timestamp=int((time.time() + 60) * 1000))
    assert producer.flush(20) == 0
    (finding,) = await bus.of_clock(settings)
    assert (finding.check, finding.level) == ("clock of kafka", Level.WARNING)


async def test_role_that_is_not_granted_is_named(settings: Settings) -> None:
    """A user who may write and not maintain is told which processes it cannot run."""
    dsn = settings.postgres.dsn.get_secret_value()
    name = f"ops_{secrets.token_hex(4)}"
    query(
        dsn, f"CREATE ROLE {name} LOGIN PASSWORD 'p' IN ROLE hub_audit_writer, hub_audit_forwarder"
    )
    address = urlsplit(dsn)
    limited = address._replace(netloc=f"{name}:p@{address.netloc.rpartition('@')[2]}").geturl()
    given = settings.model_copy(
        update={"postgres": settings.postgres.model_copy(update={"dsn": _secret(limited)})}
    )
    try:
        finding = await of_store(given, "roles")
    finally:
        query(dsn, f"DROP ROLE {name}")
    assert finding.level is Level.WARNING
    assert finding.said.endswith("may not work as hub_audit_maintenance, hub_audit_reader")


async def test_database_that_knows_no_letters_beyond_ascii_is_noticed(
    settings: Settings, postgres_admin_dsn: str
) -> None:
    """A search minds case in such a one, and does not find what is there."""
    made = "ENCODING 'UTF8' LOCALE 'C'"
    with database(postgres_admin_dsn, template="template0", made=made) as name:
        dsn = _secret(dsn_of(postgres_admin_dsn, name))
        postgres = settings.postgres.model_copy(update={"dsn": dsn})
        finding = await of_store(settings.model_copy(update={"postgres": postgres}), "postgres")
    assert finding.level is Level.WARNING
    assert "knows no case beyond ASCII" in finding.said


async def test_day_that_should_be_gone_is_noticed(settings: Settings) -> None:
    """More is kept than was promised: retention is overdue."""
    old = (NOW - timedelta(days=94)).date()
    query(
        settings.postgres.dsn.get_secret_value(),
        "SELECT ensure_days('audit_entries', %s, %s)",
        (old, old),
    )
    finding = await of_store(settings, "retention")
    assert finding.level is Level.WARNING
    assert finding.said == f"the oldest day is {old}, 4 days beyond what is kept"


async def test_failing_subscription_is_noticed(settings: Settings) -> None:
    """A subscriber who gets nothing is worth a word."""
    query(
        settings.postgres.dsn.get_secret_value(),
        "INSERT INTO subscriptions"
        " (org_id, format, filter, shard, forwarded_through, told_through, error, error_at)"
        " VALUES ('acme', 'hub', '{}', 0, 0, 0, 'no topic', now())",
    )
    finding = await of_store(settings, "subscriptions")
    assert (finding.level, finding.said) == (Level.WARNING, "1 of 1 fail")


async def test_defend_that_is_not_running_is_noticed(settings: Settings) -> None:
    """Where Defend has read before, records that wait without it are worth a word."""
    await topics.create(settings)
    topic, group = settings.topic("hub.auth.login_failed"), f"{settings.group}.defend"
    bootstrap = settings.kafka.bootstrap_servers
    producer = Producer({"bootstrap.servers": bootstrap})
    for _ in range(3):
        producer.produce(topic, b"{}", partition=0)
    assert producer.flush(20) == 0
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group})
    consumer.commit(offsets=[TopicPartition(topic, 0, 1)], asynchronous=False)
    consumer.close()
    (finding,) = bus.of_defend(await bus.defend(settings))
    assert finding.level is Level.WARNING
    assert finding.said == "2 records wait and nobody reads them"


async def test_keys_of_the_issuer_are_fetched(settings: Settings) -> None:
    """An issuer with a key is fine, one that is away or has none keeps everybody out."""
    with issuing() as issuer:
        fine = await readers._keys(_issued(settings, f"{issuer.url}/jwks").access)
    assert (fine.level, fine.said) == (Level.OK, f"1 at {issuer.url}/jwks")
    away = await readers._keys(_issued(settings, f"{issuer.url}/jwks").access)
    assert away.level is Level.PROBLEM
    assert away.said.endswith("gives no keys (ClientConnectorError)")
    rsa = {"kty": "RSA", "kid": "1", "use": "enc", "n": "sXchDaQ", "e": "AQAB", "alg": "RSA-OAEP"}
    body = json.dumps({"keys": [rsa]}).encode()
    answer = b"HTTP/1.0 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
    async with stranger(answer) as port:
        none = await readers._keys(_issued(settings, f"http://127.0.0.1:{port}/jwks").access)
    assert none.level is Level.PROBLEM


async def test_cursors_without_a_secret_are_noticed(settings: Settings) -> None:
    """Where an issuer is set, `serve` runs, and its instances have to share a secret."""
    assert readers._cursors(settings).level is Level.OK
    assert readers._cursors(_issued(settings, "http://127.0.0.1:1/jwks")).level is Level.WARNING


def test_doctor_exits_with_what_it_found(settings: Settings) -> None:
    """Without topics that is 1, and the JSON says under which heading and what to do.

    It does not wait for what topics that are missing could say.
    """
    kafka, group = settings.kafka, settings.group
    env = {
        "HUB_AUDIT_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "HUB_AUDIT_KAFKA_TOPIC_PREFIX": kafka.topic_prefix,
        "HUB_AUDIT_POSTGRES_DSN": settings.postgres.dsn.get_secret_value(),
        "HUB_AUDIT_GROUP": group,
        "HUB_AUDIT_LANES": "3",
    }
    hub_audit = str(Path(sys.executable).with_name("hub-audit"))
    done = subprocess.run(
        [hub_audit, "doctor", "--json"],
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=settings.kafka.request_timeout_ms / 1000,
    )
    said = json.loads(done.stdout)
    (missing,) = [each for each in said if each["level"] == "problem" and each["check"] == "topics"]
    assert (done.returncode, missing["fix"]) == (1, "run `hub-audit topics create`")
    assert all(each["fix"] for each in said if each["level"] != "ok")


def _secret(dsn: str) -> object:
    return type(Settings().postgres.dsn)(dsn)


def _issued(settings: Settings, jwks_url: str) -> Settings:
    access = settings.access.model_copy(
        update={"issuer": "https://issuer.example", "jwks_url": jwks_url}
    )
    return settings.model_copy(update={"access": access})
