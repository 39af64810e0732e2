"""P13: how many canonical events a second Defend judges, and how soon an attack is a finding."""

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, cast

import orjson
import psycopg
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined] # it does

from processor.defend.app import topics
from processor.emit.route import canonical, partition_of
from processor.local.port import free_port
from processor.normalize.entry_id import entry_id
from processor.normalize.instant import render
from processor.settings import Settings
from processor.store.load import load
from processor.store.migrations import migrate
from processor.store.pool import Database
from schemas.catalogue import CATALOGUE
from schemas.entry import Entry
from schemas.finding import FINDINGS_TOPIC
from tests.benchmarks.servers import Servers, cpu_seconds, resident_mb

LANES, ORGANIZATIONS, PEOPLE = 12, 2_000, 40
SPAN_MS = 1_800_000
"""Over how much time the events are spread: as a worker finds them that was away for a while."""

MIXTURE = {
    "auth.login_success": 68, "auth.login_failed": 14, "role.assigned": 4, "permission.granted": 4,
    "product_access.granted": 4, "product_access.revoked": 3, "user.deactivated": 1,
    "audit.exported": 2,
}  # fmt: skip
ATTACK = 10
PATIENCE_SECONDS, LOOK_SECONDS = 300.0, 0.25
WARM_SHARE = 0.15
HUB_AUDIT = str(Path(sys.executable).with_name("hub-audit"))


class Run(NamedTuple):
    """One worker over all events of the topics, from its first batches to the last.

    An alarm's seconds are from an attack's last event being on the bus to the finding on its topic.
    """

    events_per_second: float
    cpu_us_per_event: float
    resident_mb: float
    findings: int
    alarm_p50: float = 0.0
    alarm_worst: float = 0.0


def measure(servers: Servers, events: int, alarms: int) -> Run:
    """Have one worker catch up on so many events, then attack so many times."""
    settings = _settings(servers)
    with _prepared(servers, settings):
        made = list(entries(events))
        asyncio.run(_stored(settings, made))
        _publish(settings, made)
        with _running(settings) as (process, port):
            run = _rate(settings, process.pid, port, events)
            late = sorted(_alarms(settings, alarms))
    return run._replace(alarm_p50=late[len(late) // 2], alarm_worst=late[-1])


def entries(count: int, seed: int = 1) -> Iterator[Entry]:
    """Yield entries of many organizations, few of them large, in the order in which they are."""
    chance = Random(seed)
    names = [f"org-{number:04d}" for number in range(ORGANIZATIONS)]
    shares = [*accumulate(1 / (number + 1) for number in range(ORGANIZATIONS))]
    actions, often = list(MIXTURE), [*accumulate(MIXTURE.values())]
    begin = int(time.time() * 1000) - SPAN_MS
    for number in range(count):
        (org,) = chance.choices(names, cum_weights=shares)
        (action,) = chance.choices(actions, cum_weights=often)
        at = begin + SPAN_MS * number // count
        yield entry(org, number, at, action, chance.randrange(PEOPLE))


def entry(org: str, number: int, at_ms: int, action: str, who: int) -> Entry:
    """Return an entry of the usual size."""
    person = {"type": "user", "id": f"usr-{who}", "email": f"person.{who}@{org}.example.com"}
    made: dict[str, Any] = {
        "schema_version": 1,
        "entry_id": entry_id(at_ms, org, "/hub/identity", f"bench-{number}"),
        "seq": number + 1,
        "org_id": org,
        "occurred_at": render(at_ms),
        "occurred_at_quality": "exact",
        "recorded_at": render(at_ms + 150),
        "category": CATALOGUE[action].category,
        "action": action,
        "outcome": "failure" if action == "auth.login_failed" else "success",
        "severity": 4,
        "actor": person,
        "target": person,
        "details": {"extra": {"method": "sso", "mfa": True, "idp": "okta"}},
        "ip": f"192.0.2.{who}",
        "user_agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Safari/537.36",
        "session_id": f"ses_{number:012x}",
        "source": {
            "service": "/hub/identity", "event_type": "identity.login.succeeded",
            "event_version": 1, "event_id": f"bench-{number}", "topic": "raw.identity",
            "partition": 0, "offset": number,
        },
        "raw_sha256": sha256(b"%d" % number).hexdigest(),
        "normalizer": "1",
    }  # fmt: skip
    return cast("Entry", made)


def _settings(servers: Servers) -> Settings:
    name = f"defend{secrets.token_hex(4)}"
    given = {
        "KAFKA_BOOTSTRAP_SERVERS": servers.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": f"{name}.",
        "POSTGRES_DSN": servers.dsn(name),
        "GROUP": name,
        "LANES": str(LANES),
        "HTTP_PORT": str(free_port()),
        "LOG_LEVEL": "WARNING",
    }
    return Settings.load(env={f"HUB_AUDIT_{key}": value for key, value in given.items()})


@contextmanager
def _prepared(servers: Servers, settings: Settings) -> Iterator[None]:
    """Have database and topics for the length of a block."""
    name = settings.group
    admin = AdminClient({"bootstrap.servers": servers.bootstrap_servers})
    names = [*topics(settings), settings.topic(FINDINGS_TOPIC)]
    with psycopg.connect(servers.admin_dsn, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
        try:
            asyncio.run(migrate(settings.postgres.dsn.get_secret_value()))
            stamped = {"message.timestamp.type": "LogAppendTime"}
            for made in admin.create_topics(
                [NewTopic(each, LANES, 1, config=stamped) for each in names]
            ).values():
                made.result()
            yield
        finally:
            for gone in admin.delete_topics(names).values():
                gone.result()
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


async def _stored(settings: Settings, made: Sequence[Entry]) -> None:
    db = await Database.open(settings.postgres.dsn.get_secret_value())
    try:
        await load(db, made)
    finally:
        await db.close()


def _publish(settings: Settings, made: Sequence[Entry]) -> None:
    producer = Producer(
        {"bootstrap.servers": settings.kafka.bootstrap_servers, "linger.ms": 5, "acks": "all"}
    )
    for each in made:
        out = canonical(each)
        topic, lane = settings.topic(out.topic), partition_of(each["org_id"], LANES)
        while True:
            with suppress(BufferError):
                producer.produce(topic, out.value, out.key, lane, headers=out.headers)  # type: ignore[arg-type]
                break
            producer.poll(0.1)
    assert producer.flush(60) == 0


@contextmanager
def _running(settings: Settings) -> "Iterator[tuple[subprocess.Popen[bytes], int]]":
    given = {
        "KAFKA_BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": settings.kafka.topic_prefix,
        "POSTGRES_DSN": settings.postgres.dsn.get_secret_value(),
        "GROUP": settings.group,
        "LANES": str(LANES),
        "HTTP_PORT": str(settings.http.port),
        "LOG_LEVEL": "WARNING",
    }
    environment = os.environ | {f"HUB_AUDIT_{name}": value for name, value in given.items()}
    process = subprocess.Popen([HUB_AUDIT, "defend"], env=environment)
    try:
        yield process, settings.http.port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _rate(settings: Settings, pid: int, port: int, events: int) -> Run:
    deadline = time.monotonic() + PATIENCE_SECONDS
    first: tuple[float, float, float] | None = None
    while (done := _judged(port)) < events:
        assert time.monotonic() < deadline, f"{done} of {events} events"
        if first is None and done >= WARM_SHARE * events:
            first = done, time.monotonic(), cpu_seconds(pid)
        time.sleep(LOOK_SECONDS)
    now, used = time.monotonic(), cpu_seconds(pid)
    assert first is not None, "too few events to measure anything"
    counted = done - first[0]
    with psycopg.connect(settings.postgres.dsn.get_secret_value()) as connection:
        row = connection.execute("SELECT count(*) FROM findings").fetchone()
    return Run(
        counted / (now - first[1]),
        (used - first[2]) / counted * 1e6,
        resident_mb(pid),
        row[0] if row else 0,
    )


def _alarms(settings: Settings, times: int) -> list[float]:
    """Attack an account again and again; wait each time for the finding on its topic."""
    consumer = Consumer(
        {
            "bootstrap.servers": settings.kafka.bootstrap_servers,
            "group.id": f"{settings.group}.alarm",
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 10,
        }
    )
    topic = settings.topic(FINDINGS_TOPIC)
    ends = [consumer.get_watermark_offsets(TopicPartition(topic, n))[1] for n in range(LANES)]
    consumer.assign([TopicPartition(topic, n, end) for n, end in enumerate(ends)])
    late = []
    for number in range(times):
        org, at = f"attacked-{number}", int(time.time() * 1000)
        attack = [entry(org, n, at + n, "auth.login_failed", 1) for n in range(ATTACK)]
        asyncio.run(_stored(settings, attack))
        began = time.monotonic()
        _publish(settings, attack)
        while True:
            record = consumer.poll(PATIENCE_SECONDS)
            assert record is not None, "no finding came"
            if record.error() is None and orjson.loads(record.value() or b"")["org_id"] == org:
                break
        late.append(time.monotonic() - began)
    consumer.close()
    return late


def _judged(port: int) -> float:
    """Return how many events were looked at, as the process says itself."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except OSError:
        return 0
    wanted = "hub_audit_defend_events_total{"
    return sum(float(x.rpartition(" ")[2]) for x in text.splitlines() if x.startswith(wanted))
