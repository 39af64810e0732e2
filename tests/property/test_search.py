"""Search finds what the plain reading of a query asks for: no row too many, none missed."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processor.store.partitions import ENTRIES
from processor.store.reader import Reader
from processor.store.rows import COLUMNS, COPY_HEADER, COPY_TRAILER, encode, numbered
from processor.store.search import Key, entry, newer, page
from schemas.entry import Entry
from schemas.query import Field, Network, Numbers, Period, Query, Term, Word
from tests.integration.store import an_entry, rendered, settings_at
from tests.property.query_reference import matches

NOW = datetime.now(UTC).replace(microsecond=0)
OLDEST = NOW - timedelta(days=90)
BUDGET_SECONDS = 20.0

# Few characters, so that texts resemble each other; all that SQL or JSON could trip over.
ALPHABET = "aAbB0 %_\\\"'\u00c4\u00e4\u00df\u0130\u0131\u03a3\u03c3\u03c2\u01c5\u212a\U00010400$"
TEXTS = st.text(ALPHABET, min_size=1, max_size=5)
LINES = st.text(ALPHABET + "\n\t", min_size=1, max_size=5)
EMAILS = st.text("aAbB%_\u00c4\u03a3", min_size=1, max_size=4).map(lambda s: f"{s}@x.de".lower())
SCALARS = LINES | st.integers(-(2**53), 2**53) | st.booleans() | st.none()
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(LINES, inner, max_size=2)
)
INSTANTS = st.sampled_from([NOW - timedelta(hours=9 * n, milliseconds=n % 3) for n in range(233)])
ADDRESSES = st.sampled_from(
    ["10.0.0.1", "10.0.1.2", "203.0.113.9", "::1", "2001:db8::1", "2001:db8:0:1::5", "fe80::a"]
)


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Give objects of which every field may be absent."""
    return st.fixed_dictionaries({}, optional=fields)


ACTORS = st.builds(
    lambda rest: {"type": "user"} | rest,
    some(id=TEXTS, email=EMAILS, name=TEXTS, on_behalf_of=some(id=TEXTS, email=EMAILS)),
)
TARGETS = st.builds(
    lambda kind, rest: {"type": kind} | rest,
    st.sampled_from(["user", "role", "product"]),
    some(id=TEXTS, name=TEXTS, email=EMAILS),
)
FIELDS = some(
    org_name=TEXTS,
    category=st.sampled_from(["users", "audit", "billing"]),
    action=st.sampled_from(["user.created", "audit.viewed", "plan.changed"]),
    outcome=st.sampled_from(["success", "failure"]),
    outcome_reason=TEXTS,
    actor=ACTORS,
    target=TARGETS,
    details=some(old=st.dictionaries(TEXTS, JSON, max_size=2), extra=some(x=JSON)),
    ip=ADDRESSES,
    user_agent=LINES,
    session_id=TEXTS,
    request_id=TEXTS,
    correlation_id=TEXTS,
    trace_id=TEXTS,
)
DRAFTS = st.lists(st.tuples(INSTANTS, INSTANTS, FIELDS), min_size=1, max_size=8)


def entries_of(org_id: str, drafts: list[tuple[datetime, datetime, dict[str, Any]]]) -> list[Entry]:
    """Return the entries of an organization, numbered in order."""
    return [
        an_entry(org_id, f"e{seq}", at=at, seq=seq, recorded_at=rendered(recorded), **fields)
        for seq, (at, recorded, fields) in enumerate(drafts, 1)
    ]


def texts_of(value: Any) -> Iterator[str]:
    """Yield every text in an entry, to be asked for."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for member in value:
            yield from texts_of(member)
    elif value is not None:
        yield str(value)


@st.composite
def words(draw: st.DrawFn, entries: list[Entry]) -> Word:
    """Draw a word that may well match: often a part of what is there, in any case."""
    found = sorted({text for an_entry in entries for text in texts_of(an_entry)})
    own = [text for e in entries for text in (e["entry_id"], e["raw_sha256"])]
    text = draw(st.sampled_from(found) | TEXTS | st.sampled_from(own))
    start = draw(st.integers(0, 2)) if draw(st.booleans()) else 0
    end = draw(st.integers(1, 12)) if draw(st.booleans()) else None
    text = text[start:][:end].replace("\n", "") or draw(TEXTS)
    text = draw(st.sampled_from([text, text.upper(), text.lower()]))
    return Word(text, prefix=draw(st.booleans()))


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Draw a network around one of the addresses."""
    address = draw(ADDRESSES)
    width = draw(st.integers(0, ip_address(address).max_prefixlen))
    return ip_network(f"{address}/{width}", strict=False)


PERIODS = st.builds(Period, st.none() | INSTANTS, st.none() | INSTANTS)
SEQS = st.none() | st.integers(-1, 9) | st.sampled_from([2**63, 2**80, -(2**70)])
NUMBERS = st.builds(Numbers, SEQS, SEQS)


@st.composite
def terms(draw: st.DrawFn, entries: list[Entry]) -> Term:
    """Draw a term of any field."""
    field = draw(st.sampled_from(list(Field)))
    ids = st.sampled_from([e["entry_id"] for e in entries]) | st.uuids().map(str)
    values: dict[Field, st.SearchStrategy[Any]] = {
        Field.ID: ids.map(Word),
        Field.IP: networks(),
        Field.SEQ: NUMBERS,
        Field.CREATED: PERIODS,
        Field.RECORDED: PERIODS,
    }
    chosen = draw(st.lists(values.get(field, words(entries)), min_size=1, max_size=3))
    return Term(field, tuple(chosen), negated=draw(st.booleans()))


class Log:
    """A database of entries: one organization after the other is filled and searched."""

    def __init__(self, dsn: str) -> None:
        """Open the reader, and a connection that may write."""
        self.runner = asyncio.Runner()
        self.opened = AsyncExitStack()
        entered = self.opened.enter_async_context(Reader.opened(settings_at(dsn)))
        self.reader = self.runner.run(entered)
        self.writer: asyncpg.Connection = self.runner.run(asyncpg.connect(dsn))
        self.numbers = itertools.count()

    def close(self) -> None:
        """Close what was opened."""
        self.runner.run(self.writer.close())
        self.runner.run(self.opened.aclose())
        self.runner.close()

    async def fill(self, entries: list[Entry]) -> None:
        """Store entries; of every other day, as sealing leaves them."""

        async def source() -> AsyncIterator[bytes]:
            """Yield the rows as COPY wants them."""
            rows = (numbered(encode(e), e["seq"]) for e in entries)
            yield b"".join((COPY_HEADER, *rows, COPY_TRAILER))

        await self.writer.copy_to_table(ENTRIES, source=source(), columns=COLUMNS, format="binary")
        await self.writer.execute(
            "INSERT INTO org_heads (org_id, last_seq) VALUES ($1, $2)"
            " ON CONFLICT (org_id) DO UPDATE SET last_seq = excluded.last_seq",
            entries[0]["org_id"],
            max(entry["seq"] for entry in entries),
        )
        await self.writer.execute(
            "UPDATE audit_entries AS e SET search_text = entry_text(e),"
            " search_behalf_id = e.context #>> '{actor_on_behalf_of,id}',"
            " search_behalf_email = e.context #>> '{actor_on_behalf_of,email}',"
            " search_target_email = e.context ->> 'target_email',"
            " search_target_name = lower(e.context ->> 'target_name') WHERE e.org_id = $1"
            " AND extract(day FROM e.occurred_at AT TIME ZONE 'UTC')::integer % 2 = 0",
            entries[0]["org_id"],
        )

    async def search(self, org_id: str, query: Query, limit: int) -> list[Entry]:
        """Return all that is found, page by page."""
        found: list[Entry] = []
        key: Key | None = None
        while True:
            part = await page(
                self.reader,
                org_id,
                query,
                before=key,
                limit=limit,
                budget_seconds=BUDGET_SECONDS,
                oldest=OLDEST,
            )
            assert len(part.entries) <= limit
            found += part.entries
            key = part.older
            if key is None:
                return found


@pytest.fixture
def log(postgres_dsn: str) -> Iterator[Log]:
    """Give a log."""
    log = Log(postgres_dsn)
    yield log
    log.close()


def newest_first(entries: list[Entry]) -> list[Entry]:
    """Order entries as pages show them."""
    return sorted(entries, key=lambda e: UUID(e["entry_id"]).int, reverse=True)


# Every example has an organization of its own: what others left in the database is not seen.
ON_ONE_DATABASE = settings(max_examples=250, deadline=None, suppress_health_check=list(HealthCheck))


@ON_ONE_DATABASE
@given(data=st.data(), drafts=DRAFTS, limit=st.integers(1, 9))
def test_sql_finds_what_the_plain_reading_finds(
    log: Log, data: st.DataObject, drafts: list[Any], limit: int
) -> None:
    """Whatever is stored and asked, pages hold exactly the entries that match, newest first."""
    entries = entries_of(f"org-{next(log.numbers)}", drafts)
    query = Query(tuple(data.draw(st.lists(terms(entries), max_size=3))))
    org_id = entries[0]["org_id"]
    log.runner.run(log.fill(entries))
    expected = [e for e in entries if matches(e, query)]
    found = log.runner.run(log.search(org_id, query, limit))
    assert found == newest_first(expected)
    tail = log.runner.run(newer(log.reader, org_id, query, after_seq=2, limit=99))
    assert tail.entries == [e for e in expected if e["seq"] > 2]
    assert tail.through_seq == max(2, *(e["seq"] for e in entries))
    assert log.runner.run(entry(log.reader, org_id, UUID(entries[0]["entry_id"]))) == entries[0]
    assert log.runner.run(entry(log.reader, "nobody", UUID(entries[0]["entry_id"]))) is None
