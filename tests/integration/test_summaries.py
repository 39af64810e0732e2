"""What sealed days come to is what one gets by counting their entries, late ones too."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from random import Random

import psycopg
import pytest

from processor.store import facets as counting
from processor.store.facets import Count, Facets, facets, histogram
from processor.store.load import load
from processor.store.maintenance import Session, alone, maintenance
from processor.store.pool import Database
from processor.store.reader import Reader
from processor.store.retention import purge
from processor.store.seal import seal
from processor.store.summaries import Stretch, stretches
from processor.store.walk import Window
from schemas.entry import Entry
from schemas.query import Field, Period, Query, Term
from tests.integration.store import NOW, an_entry, opened, query, settings_at

MIDNIGHT = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
DAY = timedelta(days=1)
OLDEST = NOW - timedelta(days=9)
BUDGET = 30.0


@pytest.fixture
async def db(postgres_dsn: str) -> AsyncIterator[Database]:
    """Give the store of the writer."""
    async with opened(postgres_dsn) as database:
        yield database


@pytest.fixture
async def session(postgres_dsn: str) -> AsyncIterator[Session]:
    """Give the session of the one maintainer."""
    async with maintenance(settings_at(postgres_dsn)) as store, alone(store) as held:
        assert held is not None
        yield held


@pytest.fixture
async def reader(postgres_dsn: str) -> AsyncIterator[Reader]:
    """Give a reader of the database."""
    async with Reader.opened(settings_at(postgres_dsn)) as reader:
        yield reader


def some_entries(name: str, count: int) -> list[Entry]:
    """Return entries of ten days, of two organizations, with all that is counted varying."""
    chance = Random(name)
    made = []
    for number in range(count):
        entry = an_entry(
            chance.choice(("acme", "acme", "zulu")),
            f"{name}-{number}",
            at=NOW - timedelta(days=9.5 * chance.random()),
            action=chance.choice(("user.created", "user.updated", "auth.logout")),
            category=chance.choice(("users", "authentication", "audit")),
            outcome=chance.choice(("success", "failure")),
            actor={"type": "user", "id": f"u{chance.randrange(9)}"},
            target={"type": chance.choice(("user", "role")), "id": "t"},
            ip=f"203.0.113.{chance.randrange(30)}",
        )
        if chance.random() < 1 / 2:
            entry["actor"]["email"] = f"u{chance.randrange(9)}@example.com"
        made.append(entry)
    return made


def seen(entries: Sequence[Entry], since: str) -> list[Entry]:
    """Return what acme sees of the time since an instant, without Hub Audit's own."""
    return [
        entry
        for entry in entries
        if (entry["org_id"], entry["category"] != "audit") == ("acme", True)
        and entry["occurred_at"] >= since
    ]


def values(entries: Sequence[Entry]) -> dict[Field, Counter[str]]:
    """Return how often each value occurs, counted here."""
    return {
        Field.CATEGORY: Counter(e["category"] for e in entries),
        Field.ACTION: Counter(e["action"] for e in entries),
        Field.OUTCOME: Counter(e["outcome"] for e in entries),
        Field.ACTOR: Counter(e["actor"].get("email", e["actor"]["id"]) for e in entries),
        Field.TARGET_TYPE: Counter(e["target"]["type"] for e in entries),
        Field.IP: Counter(e["ip"] for e in entries),
    }


def counted(found: Facets) -> dict[Field, dict[str, int]]:
    """Return facets as plain counts."""
    return {field: {each.value: each.count for each in counts} for field, counts in found.items()}


async def test_summaries_and_late_entries_come_to_the_exact_counts(
    db: Database, session: Session, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some days sealed, one again, one not, with entries late: facets and bars are exact."""
    monkeypatch.setattr(counting, "VALUES_MAX", 100)
    entries = some_entries("first", 900)
    await load(db, entries)
    for day in (1, 2, 3, 5, 6, 8):
        await seal(session, (MIDNIGHT - timedelta(days=day)).date())
    for name in ("late", "later"):
        late = some_entries(name, 200)
        await load(db, late)
        entries += late
        await seal(session, (MIDNIGHT - timedelta(days=2)).date())
    for since in (OLDEST, MIDNIGHT - timedelta(days=6), NOW - timedelta(days=3.3)):
        asked = Query((Term(Field.CREATED, (Period(since, None),)),))
        mine = seen(entries, f"{since:%Y-%m-%dT%H:%M:%S}.{since.microsecond // 1000:03d}Z")
        found = await facets(reader, "acme", asked, budget_seconds=BUDGET, oldest=OLDEST)
        assert counted(found) == {field: dict(counts) for field, counts in values(mine).items()}
        assert (found.searched_back_to, found.cut) == (None, frozenset())
        bars = await histogram(
            reader, "acme", asked, since=since, until=NOW, bars=12, budget_seconds=BUDGET
        )
        expected = [
            sum(f"{bar.since:%FT%T}" <= e["occurred_at"] < f"{bar.until:%FT%T}" for e in mine)
            for bar in bars[1:-1]
        ]
        assert [bar.count for bar in bars[1:-1]] == expected
        assert sum(bar.count for bar in bars) == len(mine)


async def test_counts_of_more_values_than_are_counted_are_said_to_be_cut(
    db: Database, session: Session, reader: Reader
) -> None:
    """Of a day with 201 addresses the rarest is left out: no count is told as exact."""
    many, few = (MIDNIGHT - DAY * days for days in (3.5, 1.5))
    rare = "203.0.113.9"
    await load(db, [an_entry("acme", f"few{n}", at=few, ip=rare) for n in range(3)])
    ips = [*(f"10.0.0.{n}" for n in range(200)), rare]
    await load(db, [an_entry("acme", f"many{n}", at=many, ip=ip) for n, ip in enumerate(ips)])
    hot = await facets(reader, "acme", Query(), budget_seconds=BUDGET, oldest=OLDEST)
    await seal(session, many.date())
    summed = await facets(reader, "acme", Query(), budget_seconds=BUDGET, oldest=OLDEST)
    assert hot.cut == summed.cut == {Field.IP}
    assert hot[Field.OUTCOME] == summed[Field.OUTCOME] == [Count("success", 204)]
    assert summed[Field.IP][0] == Count(rare, 3)


async def test_summaries_are_what_is_read(
    postgres_dsn: str, db: Database, session: Session, reader: Reader
) -> None:
    """A day that is summed up is not counted again; it goes with its day."""
    day = (MIDNIGHT - timedelta(days=4)).date()
    at = MIDNIGHT - timedelta(days=3.5)
    await load(db, [an_entry("acme", f"e{n}", at=at) for n in range(3)])
    await seal(session, day)
    query(postgres_dsn, "UPDATE day_summaries SET hour_counts = '{70}', counts = '{7,7,7,7,7,7}'")
    found = await facets(reader, "acme", Query(), budget_seconds=BUDGET, oldest=OLDEST)
    assert counted(found)[Field.OUTCOME] == {"success": 7}
    bars = await histogram(
        reader, "acme", Query(), since=OLDEST, until=NOW, bars=60, budget_seconds=BUDGET
    )
    assert sum(bar.count for bar in bars) == 70
    assert await purge(session, "audit_entries", day)
    assert query(postgres_dsn, "SELECT count(*) FROM day_summaries") == [(0,)]


@pytest.mark.parametrize("table", ["day_summaries", f"audit_entries_{MIDNIGHT - 4 * DAY:%Y%m%d}"])
async def test_summaries_that_take_too_long_leave_what_was_counted(
    postgres_dsn: str, db: Database, session: Session, reader: Reader, table: str
) -> None:
    """What could not be added up in time is left out as a whole, and said to be.

    Too long takes a summary itself, or the look at what came to its day after the sealing.
    """
    newest, sealed = MIDNIGHT - timedelta(days=0.5), MIDNIGHT - timedelta(days=3.5)
    await load(db, [an_entry("acme", "new", at=newest), an_entry("acme", "old", at=sealed)])
    await seal(session, sealed.date())
    with psycopg.connect(postgres_dsn) as holder:
        holder.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
        found = await facets(reader, "acme", Query(), budget_seconds=0.5, oldest=OLDEST)
    assert counted(found)[Field.OUTCOME] == {"success": 1}
    assert found.searched_back_to == MIDNIGHT - timedelta(days=3)


async def test_sealing_again_leaves_one_summary(
    postgres_dsn: str, db: Database, session: Session
) -> None:
    """What an earlier sealing came to is forgotten; another organization's is out of reach."""
    day = (MIDNIGHT - timedelta(days=4)).date()
    await load(db, [an_entry("acme", "e", at=MIDNIGHT - timedelta(days=3.5))])
    for _ in range(2):
        await seal(session, day)
    assert query(postgres_dsn, "SELECT org_id, sealing FROM day_summaries") == [("acme", 2)]


def test_a_window_is_cut_into_days_that_are_summed_up_and_the_rest() -> None:
    """Only whole days count by their summaries, and no instant is left out or counted twice."""
    days = [(MIDNIGHT - timedelta(days=n)).date() for n in (1, 2, 4, 5, 9)]
    window = Window(MIDNIGHT - timedelta(days=4.5), MIDNIGHT + timedelta(days=2))

    def ago(number: float) -> Window:
        return Window(MIDNIGHT - timedelta(days=number), MIDNIGHT - timedelta(days=number - 1))

    assert list(stretches(window, days)) == [
        Stretch(Window(MIDNIGHT, window.until), []),
        Stretch(Window(MIDNIGHT - timedelta(days=2), MIDNIGHT), days[:2]),
        Stretch(ago(3), []),
        Stretch(ago(4), days[2:3]),
        Stretch(Window(window.since, MIDNIGHT - timedelta(days=4)), []),
    ]
    assert list(stretches(window, [])) == [Stretch(window, [])]
