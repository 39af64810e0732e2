"""Facets, histogram, feed, ranges and completeness, against a real Postgres."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import psycopg
import pytest

from processor.errors import SearchTooSlow
from processor.store import facets as facets_module
from processor.store import reader as reader_module
from processor.store.facets import Bar, Count, facets, histogram
from processor.store.feed import Gap, completeness, feed, head, ranges
from processor.store.pool import Database
from processor.store.reader import Reader
from processor.store.search import page
from schemas.entry import Entry
from schemas.query import Field, Period, Query, Term, Word
from tests.integration.store import NOW, TOPIC, StoringLane, an_entry, query, settings_at

ALL = Query()
OLDEST = NOW - timedelta(days=90)
FAILURES = Query((Term(Field.OUTCOME, (Word("failure"),)),))


@pytest.fixture
async def lane(postgres_dsn: str) -> AsyncIterator[StoringLane]:
    """Give a lane that stores into the database."""
    db = await Database.open(postgres_dsn)
    yield await StoringLane.take(db)
    await db.close()


@pytest.fixture
async def reader(postgres_dsn: str) -> AsyncIterator[Reader]:
    """Give a reader of the database."""
    async with Reader.opened(settings_at(postgres_dsn)) as reader:
        yield reader


def days_ago(days: float) -> datetime:
    """Return an instant of the past."""
    return NOW - timedelta(days=days)


async def test_facets_count_the_values_found(lane: StoringLane, reader: Reader) -> None:
    """Each facet lists its values by how often they occur; who acted by e-mail address or id."""
    nameless = {"actor": {"type": "service", "id": "svc"}, "outcome": "failure"}
    await lane.store(
        *(an_entry("acme", f"e{n}", at=days_ago(n * 9)) for n in range(8)),
        *(an_entry("acme", f"f{n}", at=days_ago(n), **nameless) for n in range(3)),
        an_entry("other", "e", outcome="failure"),
    )
    found = await facets(reader, "acme", ALL, budget_seconds=9, oldest=OLDEST)
    assert found[Field.OUTCOME] == [Count("success", 8), Count("failure", 3)]
    assert found[Field.ACTOR] == [Count("ada@example.com", 8), Count("svc", 3)]
    assert found[Field.IP] == [Count("203.0.113.9", 11)]
    assert found.searched_back_to is None
    found = await facets(reader, "acme", FAILURES, budget_seconds=9, oldest=OLDEST)
    assert found[Field.ACTION] == [Count("auth.login_success", 3)]


async def test_facet_counts_are_capped(
    lane: StoringLane, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No count is higher than the cap, and no facet longer than its bound."""
    monkeypatch.setattr(facets_module, "COUNT_MAX", 3)
    monkeypatch.setattr(facets_module, "VALUES_MAX", 2)
    await lane.store(*(an_entry("acme", f"e{n}", ip=f"10.0.0.{n % 3}") for n in range(9)))
    found = await facets(reader, "acme", ALL, budget_seconds=9, oldest=OLDEST)
    assert found[Field.IP] == [Count("10.0.0.0", 3), Count("10.0.0.1", 3)]


async def test_histogram_counts_each_bar(lane: StoringLane, reader: Reader) -> None:
    """Bars begin at midnight, but for the first, and end at the end; none is left out.

    What is ahead of the end is in the last, unless the query has the end itself.
    """
    since, day = days_ago(29), timedelta(days=1)
    midnight = (since + day).replace(hour=0, minute=0, second=0, microsecond=0)
    ends = (since, midnight - timedelta(milliseconds=1), midnight, NOW - timedelta(milliseconds=1))
    beyond = (since - timedelta(milliseconds=1), NOW, NOW + timedelta(hours=23))
    await lane.store(*(an_entry("acme", f"e{n}", at=at) for n, at in enumerate(ends + beyond)))
    before = Query((Term(Field.CREATED, (Period(None, NOW),)),))
    for asked, last in ((ALL, 3), (before, 1)):
        bars = await histogram(
            reader, "acme", asked, since=since, until=NOW, bars=30, budget_seconds=9
        )
        assert [bar.count for bar in bars] == [2, 1, *[0] * 27, last]
    assert bars[:2] == [Bar(since, midnight, 2), Bar(midnight, midnight + day, 1)]
    assert bars[-1].until == NOW


@pytest.mark.parametrize(
    ("span", "width", "bars"),
    [
        (timedelta(hours=1), timedelta(minutes=2), 31),
        (timedelta(days=1), timedelta(minutes=30), 49),
        (timedelta(days=7), timedelta(hours=3), 57),
        (timedelta(days=30), timedelta(days=1), 31),
        (timedelta(days=90), timedelta(days=2), 46),
    ],
)
async def test_bars_are_of_a_round_length(
    reader: Reader, span: timedelta, width: timedelta, bars: int
) -> None:
    """However long the time, bars begin where people expect them to, and there are few of them."""
    until = datetime(2026, 3, 5, 13, 37, 11, tzinfo=UTC)
    found = await histogram(
        reader, "acme", ALL, since=until - span, until=until, bars=60, budget_seconds=9
    )
    assert len(found) == bars
    assert {bar.until - bar.since for bar in found[1:-1]} == {width}
    assert all(before.until == after.since for before, after in pairwise(found))


async def test_without_time_there_is_still_progress(lane: StoringLane, reader: Reader) -> None:
    """A search without any budget says how far back it came, and from there it can go on."""
    await lane.store(*(an_entry("acme", f"e{n}", at=days_ago(n * 5)) for n in range(17)))
    found, key, pages = [], None, 0
    while pages == 0 or key is not None:
        part = await page(
            reader, "acme", ALL, before=key, limit=50, budget_seconds=0, oldest=OLDEST
        )
        assert (part.older is None) == (part.searched_back_to is None)
        found += part.entries
        key, pages = part.older, pages + 1
    assert [entry["seq"] for entry in found] == list(range(1, 18))
    assert pages > 5
    counted = await facets(reader, "acme", ALL, budget_seconds=0, oldest=OLDEST)
    assert counted[Field.OUTCOME] == [Count("success", 1)]
    assert counted.searched_back_to is not None
    assert NOW - counted.searched_back_to < timedelta(days=2)


async def test_window_that_takes_too_long_is_narrowed(
    postgres_dsn: str, lane: StoringLane, reader: Reader
) -> None:
    """A statement that would outlast the budget is cut off, and a smaller one finds the entry."""
    await lane.store(
        an_entry("acme", "late"), *(an_entry("acme", f"e{n}", at=days_ago(0.9)) for n in range(40))
    )
    query(  # what is searched in takes its time for each of the older entries
        postgres_dsn,
        """CREATE OR REPLACE FUNCTION entry_search_text(e audit_entries) RETURNS SETOF text
        LANGUAGE sql VOLATILE ROWS 1 AS $$
            SELECT e.action || CASE WHEN e.occurred_at < now() - interval '12 hours'
                               THEN pg_sleep(0.02)::text ELSE '' END
        $$""",
    )
    asked = Query((Term(Field.TEXT, (Word("LOGIN_"),)),))
    part = await page(
        reader, "acme", asked, before=None, limit=50, budget_seconds=0.3, oldest=OLDEST
    )
    assert [entry["seq"] for entry in part.entries] == [1]
    assert part.searched_back_to is not None
    assert days_ago(0.9) < part.searched_back_to < NOW


async def test_minute_that_takes_too_long_is_searched_by_the_second(
    postgres_dsn: str, lane: StoringLane, reader: Reader
) -> None:
    """Where many happen at once, a search comes some way all the same, and can go on from there."""
    await lane.store(*(an_entry("acme", f"e{n}", at=NOW - timedelta(seconds=n)) for n in range(12)))
    query(
        postgres_dsn,
        """CREATE OR REPLACE FUNCTION entry_search_text(e audit_entries) RETURNS SETOF text
        LANGUAGE sql VOLATILE ROWS 1 AS $$ SELECT e.action || pg_sleep(0.2)::text $$""",
    )
    until = Term(Field.CREATED, (Period(None, NOW + timedelta(milliseconds=1)),))
    asked = Query((until, Term(Field.TEXT, (Word("LOGIN_"),))))
    part = await page(
        reader, "acme", asked, before=None, limit=50, budget_seconds=2.0, oldest=OLDEST
    )
    assert [entry["seq"] for entry in part.entries] == [1]
    assert part.older is not None


async def test_second_that_takes_too_long_is_said_to(
    postgres_dsn: str, lane: StoringLane, reader: Reader
) -> None:
    """Where not even a second is looked at in time, that is no outage: the search was too wide.

    Counts are of no time at all then.
    """
    await lane.store(an_entry("acme", "e"))
    with psycopg.connect(postgres_dsn) as holder:
        holder.execute("LOCK TABLE audit_entries IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(SearchTooSlow):
            await page(
                reader, "acme", ALL, before=None, limit=50, budget_seconds=0.1, oldest=OLDEST
            )
        counted = await facets(reader, "acme", FAILURES, budget_seconds=0.1, oldest=OLDEST)
        assert counted.searched_back_to is not None
        assert counted.searched_back_to > NOW


async def test_many_entries_leave_others_their_turn(
    lane: StoringLane, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a large page or feed some entries are put together at a time, and others go on."""
    monkeypatch.setattr(reader_module, "SLICE_ROWS", 3)
    await lane.store(*(an_entry("acme", f"e{n}", at=days_ago(n)) for n in range(8)))
    made: list[Entry] = []
    seen: set[int] = set()

    async def others() -> None:
        """Look, whenever it is their turn, at how many there are."""
        while True:
            seen.add(len(made))
            await asyncio.sleep(0)

    looking = asyncio.create_task(others())
    await page(
        reader, "acme", ALL, before=None, limit=50, budget_seconds=9, oldest=OLDEST,
        shown=made.append,
    )  # fmt: skip
    assert seen == {0, 3, 6, 8}
    seen.clear()
    made.clear()
    await feed(reader, "acme", after=0, limit=50, shown=made.append)
    looking.cancel()
    assert seen == {0, 3, 6, 8}


async def test_feed_gives_every_number_in_order(
    postgres_dsn: str, lane: StoringLane, reader: Reader
) -> None:
    """The feed goes on behind a number, whatever the times of its entries, and explains gaps."""
    await lane.store(*(an_entry("acme", f"e{n}", at=days_ago(n % 4)) for n in range(10)))
    await lane.store(an_entry("other", "e"))
    query(postgres_dsn, "DELETE FROM audit_entries WHERE org_id = 'acme' AND seq IN (3, 4, 5, 8)")
    query(
        postgres_dsn,
        "INSERT INTO seq_gaps VALUES ('acme', '{[3,6),[8,9)}', 'purged'),"
        " ('other', '{[7,9)}', 'purged')",
    )
    found = await feed(reader, "acme", after=1, limit=4)
    assert [entry["seq"] for entry in found.entries] == [2, 6, 7, 9]
    assert found.head_seq == await head(reader, "acme") == 10
    assert found.gaps == [Gap(3, 5, "purged"), Gap(8, 8, "purged")]
    found = await feed(reader, "acme", after=4, limit=100)
    assert [entry["seq"] for entry in found.entries] == [6, 7, 9, 10]
    assert found.gaps == [Gap(5, 5, "purged"), Gap(8, 8, "purged")]
    assert await feed(reader, "nobody", after=0, limit=9) == ([], 0, [])


async def test_ranges_count_days_and_numbers(
    lane: StoringLane, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Days and ranges of numbers each add up to what is stored."""
    monkeypatch.setattr("processor.store.feed.RANGE_SEQS", 4)
    await lane.store(*(an_entry("acme", f"e{n}", at=days_ago(n % 2)) for n in range(10)))
    found = await ranges(reader, "acme")
    assert [(day.entries, day.first_seq, day.last_seq) for day in found.days] == [
        (5, 2, 10),
        (5, 1, 9),
    ]
    assert [day.day for day in found.days] == [days_ago(1).date(), NOW.date()]
    assert found.seqs == [(1, 4, 4), (5, 8, 4), (9, 10, 2)]
    assert (found.gaps, found.head_seq) == ([], 10)


async def test_log_is_complete_up_to_the_slowest_partition(
    postgres_dsn: str, lane: StoringLane, reader: Reader
) -> None:
    """The oldest of the partitions of topics that are read; unknown while one never was."""
    read = (TOPIC, "a", "b")
    assert await completeness(reader, read) is None
    for topic, minute in (("a", 5), ("b", 3), ("of before", 9)):
        query(
            postgres_dsn,
            "INSERT INTO source_offsets (topic, partition, first_offset, stored_through,"
            " caught_up_at) VALUES (%s, 0, 0, 0, %s)",
            (topic, NOW - timedelta(minutes=minute)),
        )
    assert await completeness(reader, read) is None
    query(postgres_dsn, "UPDATE source_offsets SET caught_up_at = now() WHERE caught_up_at IS NULL")
    assert await completeness(reader, read) == NOW - timedelta(minutes=5)


async def test_reader_sees_one_organization_and_writes_nothing(
    lane: StoringLane, reader: Reader
) -> None:
    """Row-level security shows the organization's own rows alone, to a role that cannot write."""
    await lane.store(an_entry("acme", "e1"), an_entry("other", "e1"))
    async with reader.of("acme") as connection:
        assert [row[0] for row in await connection.fetch("SELECT org_id FROM audit_entries")] == [
            "acme"
        ]
        assert await connection.fetchval("SHOW transaction_read_only") == "on"
        assert await connection.fetchval("SHOW plan_cache_mode") == "force_custom_plan"
    async with reader.db.connection() as connection:
        assert await connection.fetch("SELECT org_id FROM audit_entries") == []
