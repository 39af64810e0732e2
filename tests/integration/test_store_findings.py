"""Findings and the sets that they are judged by, on a real Postgres."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from itertools import permutations
from random import Random
from uuid import UUID

import pytest

from processor.defend.detector import Detector, Observation
from processor.defend.rules import ACTIONS, LATE_MS_MAX, Signal, of_entry
from processor.demo.generator import Mix, traffic
from processor.errors import DatabaseOutage
from processor.ingest.decode import decode
from processor.normalize import normalize
from processor.normalize.fit import TRUNCATED
from processor.normalize.instant import render
from processor.store import findings
from processor.store.findings import Alert, NewFinding, Span, Wanted
from processor.store.load import load
from processor.store.pool import FORWARDER, Database
from processor.store.reader import Reader
from schemas.entry import Details, Entry
from schemas.finding import HOUR_MS
from schemas.record import RawRecord
from schemas.rejection import Rejection
from tests.integration.postgres_proxy import PostgresProxy
from tests.integration.store import SOMEBODY_WAITS, opened, query, settings_at, until
from tests.unit.defend_signals import MINUTE, SECOND, Log
from tests.unit.normalized import LIMITS

NOW = int(datetime.now(UTC).timestamp() * 1000)
BEGIN = NOW - NOW % 3_600_000 - 50 * MINUTE
NOT_IN_TRAFFIC = {"audit.exported", "audit.subscription_changed"}  # are of our own making
ID = "01a207d9-217b-828a-a137-81caa759c1be"


@pytest.fixture
async def db(postgres_dsn: str) -> AsyncIterator[Database]:
    """Give the store as Defend works on it."""
    async with opened(postgres_dsn, role=FORWARDER) as db:
        yield db


@pytest.fixture
async def reader(postgres_dsn: str) -> AsyncIterator[Reader]:
    """Give the store as the page reads it."""
    async with Reader.opened(settings_at(postgres_dsn)) as reader:
        yield reader


def a_finding(**fields: object) -> NewFinding:
    """Return a finding of ten failed logins."""
    given: dict[str, object] = {
        "finding_id": ID, "org_id": "acme", "rule": "brute_force", "severity": "high",
        "subject_type": "account", "subject": "ada@acme.example", "hour_ms": BEGIN,
        "first_ms": BEGIN + 5, "last_ms": BEGIN + MINUTE, "actors": ["ada@acme.example"],
        "addresses": ["192.0.2.1"], "seqs": [*range(1, 11)], "alerts": [],
    }  # fmt: skip
    return NewFinding(**(given | fields))  # type: ignore[arg-type]


async def stored_attack(dsn: str, count: int) -> list[Observation]:
    """Store so many failed logins of one account, and return what a reader of the bus sees."""
    log = Log()
    log.failures(BEGIN, "ada@acme.example", count, SECOND, "192.0.2.1")
    async with opened(dsn) as writer:
        await load(writer, log.entries)
    return [Observation("acme", of_entry(each)) for each in log.entries]  # type: ignore[arg-type]


async def test_a_finding_only_grows(db: Database, reader: Reader) -> None:
    """Less of it, or the same again, changes nothing; more of it is another version."""
    parts = [
        a_finding(seqs=[3, 4], severity="critical", addresses=["203.0.113.1"]),
        a_finding(seqs=[1, 2, 3], first_ms=BEGIN, actors=["eve", "ada@acme.example"]),
        a_finding(seqs=[4], alerts=["rep-1"], severity="low", last_ms=BEGIN + 2 * MINUTE),
    ]
    for part in (*parts, *parts):
        await findings.keep(db, [part])
    (kept,) = await findings.listed(reader, "acme", Wanted(), limit=10)
    found = kept.finding
    assert found["version"] == 3
    assert found["evidence"] == {"seqs": [1, 2, 3, 4], "alerts": ["rep-1"]}
    assert (found["severity"], found["status"]) == ("critical", "open")
    assert found["actors"] == ["ada@acme.example", "eve"]
    assert found["addresses"] == ["192.0.2.1", "203.0.113.1"]
    assert datetime.fromisoformat(found["first_at"]).timestamp() * 1000 == BEGIN
    assert datetime.fromisoformat(found["last_at"]).timestamp() * 1000 == BEGIN + 2 * MINUTE


async def test_an_acknowledged_finding_is_open_again_when_it_grows(
    db: Database, reader: Reader
) -> None:
    """Who took note of ten failures has not taken note of an eleventh."""
    await findings.keep(db, [a_finding()])
    kept = await findings.acknowledge(db, "acme", UUID(ID), "Olivia")
    assert kept is not None
    assert (kept.finding["status"], kept.acknowledged_by) == ("acknowledged", "Olivia")
    assert await findings.listed(reader, "acme", Wanted(acknowledged=False), limit=10) == []
    await findings.keep(db, [a_finding()])
    assert await findings.listed(reader, "acme", Wanted(acknowledged=True), limit=10) == [kept]
    await findings.keep(db, [a_finding(seqs=[*range(1, 12)])])
    (grown,) = await findings.listed(reader, "acme", Wanted(acknowledged=False), limit=10)
    assert (grown.finding["status"], grown.acknowledged_by) == ("open", "Olivia")


async def test_an_acknowledged_finding_is_open_again_when_it_is_worse(
    db: Database, reader: Reader
) -> None:
    """An alert sent again as malicious adds no evidence, and is news to who took note of it."""
    await findings.keep(db, [a_finding()])
    await findings.acknowledge(db, "acme", UUID(ID), "Olivia")
    await findings.keep(db, [a_finding(severity="medium")])
    assert await findings.listed(reader, "acme", Wanted(acknowledged=False), limit=10) == []
    await findings.keep(db, [a_finding(severity="critical")])
    (worse,) = await findings.listed(reader, "acme", Wanted(acknowledged=False), limit=10)
    assert (worse.finding["status"], worse.finding["severity"]) == ("open", "critical")
    noted = await findings.acknowledge(db, "acme", UUID(ID), "Olivia")
    assert noted is not None
    assert noted.finding["status"] == "acknowledged"


async def test_note_is_taken_of_what_was_seen_alone(db: Database, reader: Reader) -> None:
    """What came since is not acknowledged by it, nor is what is yet to come."""
    await findings.keep(db, [a_finding(seqs=[*range(1, 12)])])
    for seen, status in ((10, "open"), (99, "acknowledged")):
        kept = await findings.acknowledge(db, "acme", UUID(ID), "Olivia", seen)
        assert kept is not None
        assert kept.finding["status"] == status
    await findings.keep(db, [a_finding(seqs=[*range(1, 13)])])
    assert len(await findings.listed(reader, "acme", Wanted(acknowledged=False), limit=10)) == 1


async def test_no_other_organization_sees_a_finding(db: Database, reader: Reader) -> None:
    """Neither listed nor by its id nor by acknowledging it."""
    await findings.keep(db, [a_finding()])
    assert await findings.listed(reader, "globex", Wanted(), limit=10) == []
    assert await findings.one(reader, "globex", UUID(ID)) is None
    assert await findings.acknowledge(db, "globex", UUID(ID), "Gus") is None
    async with reader.of("globex") as connection:
        assert await connection.fetchval("SELECT count(*) FROM findings") == 0
        assert await connection.fetchval("SELECT count(*) FROM endpoint_alerts") == 0


async def test_slow_topic_keeps_nobody_from_a_finding(db: Database) -> None:
    """What is being published can be acknowledged and grow; that is a version of its own."""
    await findings.keep(db, [a_finding()])
    async with db.transaction() as publisher:
        lent = await findings.unpublished(publisher, 10)
        await findings.acknowledge(db, "acme", UUID(ID), "Olivia")
        await findings.keep(db, [a_finding(seqs=[*range(1, 13)])])
        await findings.published(publisher, lent)
    async with db.transaction() as publisher:
        later = await findings.unpublished(publisher, 10)
    assert [finding["version"] for finding in (*lent, *later)] == [1, 3]


async def test_what_is_unpublished_is_lent_once_until_it_is_published(db: Database) -> None:
    """One worker publishes at a time; what is not marked is lent again."""
    await findings.keep(db, [a_finding()])
    async with db.transaction() as one, db.transaction() as other:
        lent = await findings.unpublished(one, 10)
        assert [finding["finding_id"] for finding in lent] == [ID]
        assert await findings.unpublished(other, 10) == []
    assert await findings.lacking(db) == 1
    async with db.transaction() as one:
        lent = await findings.unpublished(one, 10)
        assert [finding["version"] for finding in lent] == [1]
        await findings.published(one, lent)
    async with db.transaction() as one:
        assert await findings.unpublished(one, 10) == []
    assert await findings.lacking(db) == 0


async def test_publishing_and_keeping_wait_for_each_other_in_one_order(
    db: Database, postgres_dsn: str
) -> None:
    """Who publishes holds no finding while it waits for one that comes before it in the order."""
    ids = sorted((ID, str(UUID(int=UUID(ID).int + 1))))
    await findings.keep(db, [a_finding(finding_id=each) for each in ids])
    await findings.keep(db, [a_finding(finding_id=ids[0], seqs=[*range(20)])])  # now behind
    locked = "SELECT 1 FROM findings WHERE finding_id = $1 FOR UPDATE NOWAIT"
    async with db.transaction() as keeping, db.transaction() as publisher:
        lent = sorted(await findings.unpublished(publisher, 10), key=lambda f: f["finding_id"])
        await keeping.execute(locked, UUID(ids[0]))
        publishing = asyncio.create_task(findings.published(publisher, lent[::-1]))
        await until(postgres_dsn, SOMEBODY_WAITS)
        await keeping.execute(locked, UUID(ids[1]))  # the next that is kept, as deadlocks had it
        await keeping.execute("COMMIT")
        await keeping.execute("BEGIN")
        await publishing
    assert await findings.lacking(db) == 0


async def test_an_hour_is_read_whatever_its_size(
    db: Database, postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entries of a span come page by page, each once, and none of another action or time."""
    log, other = Log(), Log("globex")
    log.failures(BEGIN, "ada@acme.example", 25, SECOND, "192.0.2.1")
    log.add(BEGIN, "auth.logout", "ada@acme.example", target={"type": "session"})
    log.failures(BEGIN + 30 * MINUTE, "ada@acme.example", 1, SECOND, "192.0.2.1")
    other.failures(BEGIN, "gus@globex.example", 3, SECOND, "192.0.2.1")
    async with opened(postgres_dsn) as writer:
        await load(writer, [*log.entries, *other.entries])
    monkeypatch.setattr(findings, "PAGE_ENTRIES", 4)
    spans = [Span("acme", BEGIN, BEGIN + 30 * MINUTE), Span("globex", BEGIN, BEGIN + 2 * SECOND)]
    found: list[list[Signal]] = [[], []]
    async for number, page in findings.told(db, spans, ["auth.login_failed"], LATE_MS_MAX):
        assert len(page) <= 4
        found[number] += page
    wanted = (log.entries[:25], other.entries[:2])
    assert found == [[of_entry(entry) for entry in entries] for entries in wanted]


async def test_a_row_tells_what_its_entry_tells(db: Database, postgres_dsn: str) -> None:
    """Whatever happened, and however late it came, store and bus give the same signal."""
    entries = [*_traffic(3_000)]
    late, by_job, *_ = (entry for entry in entries if entry["action"] in ACTIONS)
    by_job["actor"] = {"type": "system", "name": "Nightly job"}
    bulk = [entry for entry in entries if entry["action"] == "permission.bulk_updated"]
    none: list[Details] = [
        {}, {"new": {}}, {"new": {"permissions": []}}, {"new": {"permissions": None}}
    ]  # fmt: skip
    cut: Details = {"new": {"permissions": TRUNCATED}}
    for entry, details in zip(bulk, (*none, cut), strict=False):
        entry["details"] = details
    late["recorded_at"] = render(NOW + LATE_MS_MAX + 2 * HOUR_MS)
    async with opened(postgres_dsn) as writer:
        await load(writer, entries)
    from_bus = {
        signal.id: signal
        for entry in entries
        if entry["action"] in ACTIONS and (signal := of_entry(entry))
    }
    spans = [Span(org, NOW - HOUR_MS, NOW + HOUR_MS) for org in {e["org_id"] for e in entries}]
    from_store = {
        told.id: told
        async for _, page in findings.told(db, spans, ACTIONS, LATE_MS_MAX)
        for told in page
    }
    assert from_store == from_bus
    assert late["entry_id"] not in from_bus
    assert {signal.action for signal in from_bus.values()} == {*ACTIONS} - NOT_IN_TRAFFIC
    assert len({signal.marks for signal in from_bus.values()}) > 4
    given = ["given" in from_bus[entry["entry_id"]].marks for entry in bulk]
    assert given == [False] * len(none) + [True] * (len(bulk) - len(none))
    assert len(given) > len(none)
    assert any(signal.thing.split(" ")[2] for signal in from_bus.values())


def _traffic(count: int) -> Iterator[Entry]:
    """Yield the entries of the demo's traffic, which is of every kind there is."""
    for offset, sent in enumerate(traffic(7, range(NOW, NOW + count), Mix(poison=0, duplicates=0))):
        record = RawRecord(sent.topic, 0, offset, NOW, sent.key, sent.value, sent.headers)
        event = decode(record, "raw.redrive")
        assert not isinstance(event, Rejection)
        entry = normalize(event, LIMITS)
        if isinstance(entry, dict):
            yield entry


async def test_alerts_are_kept_once(db: Database) -> None:
    """The same report again changes nothing, and comes back as it was."""
    alert = Alert("acme", "rep-1", BEGIN, BEGIN + 7, {"id": "rep-1", "verdict": "malicious"})
    await findings.keep_alerts(db, [alert])
    await findings.keep_alerts(db, [alert, alert._replace(told_ms=BEGIN + 9)])
    kept = await findings.alerts(
        db, [Span("acme", BEGIN, BEGIN + 1), Span("acme", BEGIN + 1, NOW), Span("x", BEGIN, NOW)]
    )
    assert kept == [[({"id": "rep-1", "verdict": "malicious"}, BEGIN + 7)], [], []]


async def test_of_an_alert_that_is_sent_twice_the_worse_is_kept(db: Database) -> None:
    """One after the other or at once, in whatever order; at another time it is another."""
    bad = {"id": "rep", "verdict": "malicious", "note": "a"}
    reports = [bad, {"id": "rep", "verdict": "suspicious"}, bad | {"note": "b"}]
    for number, order in enumerate(permutations(reports)):
        one_by_one = [Alert("acme", f"{number}", BEGIN, BEGIN + 7, report) for report in order]
        for alert in one_by_one:
            await findings.keep_alerts(db, [alert])
        await findings.keep_alerts(db, [each._replace(org_id="globex") for each in one_by_one])
    later = Alert("acme", "0", BEGIN + 1, BEGIN + 7, reports[1])
    await findings.keep_alerts(db, [later])
    kept = await findings.alerts(
        db, [Span(org, BEGIN, BEGIN + 1) for org in ("acme", "globex")]
        + [Span("acme", BEGIN + 1, BEGIN + 2)]
    )  # fmt: skip
    assert kept == [[(bad, BEGIN + 7)] * 6, [(bad, BEGIN + 7)] * 6, [(reports[1], BEGIN + 7)]]


async def test_workers_at_once_find_all_of_it(db: Database, postgres_dsn: str) -> None:
    """Three detectors take one attack among them, mixed and at once: one whole finding."""
    told = await stored_attack(postgres_dsn, 40)
    chance = Random(1)
    parts = [chance.sample(told, 30) for _ in range(3)]

    async def work(part: list[Observation]) -> None:
        """Take a part in batches of seven."""
        detector = Detector(db, 1_000_000)
        for first in range(0, len(part), 7):
            await detector.take(part[first : first + 7])

    await asyncio.gather(*(work(part) for part in parts))
    rows = query(postgres_dsn, "SELECT rule, cardinality(seqs) FROM findings")
    assert rows == [("brute_force", 40)]


@pytest.mark.parametrize("lost", [b"CROSS JOIN LATERAL", b"INSERT INTO findings"])
async def test_a_batch_that_met_an_outage_is_taken_again(postgres_dsn: str, lost: bytes) -> None:
    """Whether what was stored could not be read or what was found could not be kept: no part."""
    told = await stored_attack(postgres_dsn, 12)
    async with (
        PostgresProxy(postgres_dsn, break_at=lost) as proxy,
        opened(proxy.dsn, role=FORWARDER) as db,
    ):
        detector = Detector(db, 1_000)
        with pytest.raises(DatabaseOutage):
            await detector.take(told[6:])
        proxy.thaw()
        assert await detector.take(told[6:]) == 1
        assert await detector.take(told[:6]) == 0
    rows = query(postgres_dsn, "SELECT rule, cardinality(seqs) FROM findings")
    assert rows == [("brute_force", 12)]


async def test_since_and_before_bound_the_list(db: Database, reader: Reader) -> None:
    """The latest come first, a page at a time, of a severity or a rule."""
    ids = [f"01a207d9-2100-8b9a-b622-b3704ef923c{n}" for n in range(4)]
    made = [
        a_finding(finding_id=each, last_ms=BEGIN + n * MINUTE, severity=severity)
        for n, (each, severity) in enumerate(
            zip(ids, ("low", "critical", "medium", "high"), strict=True)
        )
    ]
    await findings.keep(db, made)

    async def listed(wanted: Wanted, limit: int = 10) -> list[str]:
        """Return the ids that are listed."""
        kept = await findings.listed(reader, "acme", wanted, limit=limit)
        return [each.finding["finding_id"] for each in kept]

    assert await listed(Wanted()) == ids[::-1]
    assert await listed(Wanted(), 2) == [ids[3], ids[2]]
    at = datetime.fromtimestamp(BEGIN / 1000, UTC) + timedelta(minutes=2)
    assert await listed(Wanted(before=(at, UUID(ids[2])))) == [ids[1], ids[0]]
    assert await listed(Wanted(severity="high")) == [ids[3]]
    assert await listed(Wanted(since=at)) == [ids[3], ids[2]]
    assert await listed(Wanted(rule="grant_burst")) == []
