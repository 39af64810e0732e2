"""Sealing a day on a real Postgres, while the store's own writer works on the same day."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from processor.errors import DatabaseOutage
from processor.store import maintenance as maintaining
from processor.store import seal as sealing
from processor.store.load import load
from processor.store.maintenance import Session, alone, maintenance
from processor.store.pool import MAINTENANCE, Database
from processor.store.seal import SealingPostponed, due, seal, sweep
from schemas.entry import Entry
from tests.integration.store import NOW, StoringLane, an_entry, opened, query, settings_at, until

THEN = NOW.replace(hour=0, minute=0, second=0) - timedelta(days=3)
DAY = THEN.date()
LEAF = f"audit_entries_{DAY:%Y%m%d}"
NEW = f"{LEAF}_sealing"
ORGS = ("acme", "beta", "zulu")

ROWS = (
    "SELECT to_jsonb(e) - ARRAY['search_text', 'search_behalf_id', 'search_behalf_email',"
    " 'search_target_email', 'search_target_name'] FROM audit_entries AS e ORDER BY org_id, seq"
)
WAITING = """SELECT count(*) > 0 FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
             WHERE NOT l.granted AND d.datname = current_database()"""
UNLOCKED = """SELECT count(*) = 0 FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
              WHERE l.locktype = 'advisory' AND d.datname = current_database()"""
INVERSIONS = """SELECT count(*) FROM (
    SELECT (org_id, occurred_at) < lag((org_id, occurred_at)) OVER (ORDER BY ctid) AS inverted
    FROM audit_entries) AS rows WHERE inverted"""
TABLES = """SELECT relname FROM pg_class WHERE relkind IN ('r', 'i') AND relname LIKE %s
            ORDER BY relname"""
NO_ROOM = """CREATE OR REPLACE FUNCTION entry_search(e audit_entries) RETURNS TABLE (
    search_text text, behalf_id text, behalf_email text, target_email text, target_name text
) LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 1 AS $$
BEGIN
    IF e.seq > 50 THEN
        RAISE 'could not extend file: No space left on device' USING ERRCODE = 'disk_full';
    END IF;
    RETURN QUERY SELECT '', '', '', '', '';
END $$"""


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


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Copy a few rows at a time, so that a test's day has many pieces."""
    monkeypatch.setattr(sealing, "PIECE_ROWS", 50)


def entries(count: int, *, begin: int = 0) -> Iterator[Entry]:
    """Yield entries of the day, of several organizations, some at the same instant."""
    for number in range(begin, begin + count):
        at = THEN + timedelta(seconds=(number * 7919) % 86_400 // 60 * 60)
        entry = an_entry(ORGS[number % 3], f"e{number}", at=at)
        if number % 3 == 0:
            entry["actor"]["on_behalf_of"] = {"id": "usr_9", "email": "Bo@example.com"}
            entry["target"] |= {"name": "Ada's Ärger", "email": "ada@example.com"}
        yield entry


async def test_sealed_day_holds_the_same_in_the_order_of_reading(
    postgres_dsn: str, db: Database, session: Session
) -> None:
    """Every row is what it was, has its text, and stands where its readers look for it."""
    await load(db, entries(400))
    before = query(postgres_dsn, ROWS)
    sealed = await seal(session, DAY)
    assert (sealed.entries, sealed.late) == (400, 0)
    assert query(postgres_dsn, ROWS) == before
    # A small row may have found room on a page further up.
    assert query(postgres_dsn, INVERSIONS)[0][0] < 400 / 20
    wrong = """SELECT count(*) FROM audit_entries AS e WHERE search_text <> entry_text(e)
               OR (search_behalf_id, search_behalf_email, search_target_email, search_target_name)
               IS DISTINCT FROM (
                   context #>> '{actor_on_behalf_of,id}', context #>> '{actor_on_behalf_of,email}',
                   context ->> 'target_email', lower(context ->> 'target_name'))"""
    assert query(postgres_dsn, wrong) == [(0,)]
    assert query(postgres_dsn, "SELECT count(search_behalf_id) FROM audit_entries") == [(134,)]
    assert query(postgres_dsn, "SELECT count(search_text) FROM audit_entries") == [(400,)]
    assert query(postgres_dsn, "SELECT day, entries FROM sealed_days") == [(DAY, 400)]
    assert await due(session, NOW.date()) == []


async def test_sealed_partition_is_a_partition_like_any_other(
    postgres_dsn: str, db: Database, session: Session
) -> None:
    """Owner, row security, constraints and names are those of a live day, and some indexes more."""
    await load(db, entries(10))
    await seal(session, DAY)
    names = {name for (name,) in query(postgres_dsn, TABLES, [f"{LEAF}%"])}
    assert names >= {LEAF} | {f"{LEAF}_{of}" for of in ("pkey", "seq_key", "actor", "target")}
    assert not [name for name in names if "sealing" in name]
    live = f"audit_entries_{NOW:%Y%m%d}"
    like = """SELECT relowner::regrole, relrowsecurity, relforcerowsecurity, reloptions, relacl,
                  (SELECT qual FROM pg_policies WHERE tablename = relname),
                  (SELECT array_agg(pg_get_constraintdef(c.oid) ORDER BY c.contype, 1)
                   FROM pg_constraint AS c WHERE conrelid = pg_class.oid)
              FROM pg_class WHERE relname = %s"""
    assert query(postgres_dsn, like, [LEAF]) == query(postgres_dsn, like, [live])


async def test_nothing_is_lost_that_arrives_meanwhile(
    postgres_dsn: str, db: Database, session: Session
) -> None:
    """A writer at work on the very day goes on meanwhile, and finds its entries, each once."""
    await load(db, entries(1_000))
    lane = await StoringLane.take(db)
    done = asyncio.Event()

    async def write() -> int:
        """Store batches until the day is sealed, and one more."""
        begin = 1_000
        while True:
            last = done.is_set()
            await lane.store(*entries(30, begin=begin))
            begin += 30
            if last:
                return begin

    async def seal_day() -> sealing.Sealed:
        """Seal while the other writes."""
        try:
            return await seal(session, DAY)
        finally:
            done.set()

    count, sealed = await asyncio.gather(write(), seal_day())
    assert sealed.late > 0
    assert sealed.entries > 1_000
    numbers = "SELECT org_id, array_agg(seq ORDER BY seq) FROM audit_entries GROUP BY org_id"
    stored = dict(query(postgres_dsn, numbers))
    assert sum(len(seqs) for seqs in stored.values()) == count
    assert all(seqs == list(range(1, len(seqs) + 1)) for seqs in stored.values())


async def test_day_that_grew_is_sealed_again(
    postgres_dsn: str, db: Database, session: Session
) -> None:
    """What comes after sealing is searched all the same, and much of it makes the day due again."""
    await load(db, entries(100))
    await seal(session, DAY)
    await load(db, entries(2_000, begin=100))
    assert query(postgres_dsn, "SELECT count(search_text) FROM audit_entries") == [(100,)]
    query(postgres_dsn, f"ANALYZE {LEAF}")
    assert await due(session, NOW.date()) == [DAY]
    assert await due(session, DAY) == []
    assert (await seal(session, DAY)).entries == 2_100
    assert query(postgres_dsn, "SELECT count(search_text) FROM audit_entries") == [(2_100,)]


async def test_locks_are_taken_in_the_order_of_writers(
    postgres_dsn: str, db: Database, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a writer holds the parent, sealing waits for it without holding the leaf."""
    monkeypatch.setattr(sealing, "LOCK_PATIENCE_MS", 20_000)
    await load(db, entries(10))
    copy = f"LOCK TABLE {LEAF} IN ROW EXCLUSIVE MODE"
    with psycopg.connect(postgres_dsn) as writer:
        writer.execute("SET lock_timeout = '500ms'")
        writer.execute("LOCK TABLE ONLY audit_entries IN ROW EXCLUSIVE MODE")
        task = asyncio.create_task(seal(session, DAY))
        await until(postgres_dsn, WAITING)
        await asyncio.to_thread(writer.execute, copy)
        writer.commit()
    assert (await task).entries == 10


async def test_sealing_gives_way_to_readers(
    postgres_dsn: str, db: Database, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long reader puts it off: no writer waits for him, and the finished copy does not stay."""
    monkeypatch.setattr(sealing, "ATTEMPTS_MAX", 3)
    await load(db, entries(10))
    lane = await StoringLane.take(db)
    with psycopg.connect(postgres_dsn) as reader:
        reader.execute("SELECT count(*) FROM audit_entries")
        task = asyncio.create_task(seal(session, DAY))
        await until(postgres_dsn, WAITING)
        await lane.store(*entries(1, begin=10))
        with pytest.raises(SealingPostponed, match="never free"):
            await task
        assert query(postgres_dsn, TABLES, [f"{NEW}%"]) == []
    assert (await seal(session, DAY)).entries == 11


NEWER = "ALTER TABLE audit_entries ADD COLUMN {} text NOT NULL DEFAULT 'new'"


async def test_columns_of_a_newer_release_are_not_left_out(
    postgres_dsn: str, db: Database, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release that does not know a column leaves days alone, also one that it is about to end."""
    await load(db, entries(10))
    build = sealing._build

    async def migrated_meanwhile(*given: Any) -> int:
        """Build, and have somebody else migrate."""
        copied = await build(*given)
        query(postgres_dsn, NEWER.format("tenant"))
        return copied

    monkeypatch.setattr(sealing, "_build", migrated_meanwhile)
    with pytest.raises(SealingPostponed, match=r"newer release: tenant$"):
        await seal(session, DAY)
    query(postgres_dsn, NEWER.format("region"))
    with pytest.raises(SealingPostponed, match=r"newer release: tenant, region$"):
        await seal(session, DAY)
    assert query(postgres_dsn, TABLES, [f"{NEW}%"]) == []
    rows = "SELECT count(*), min(tenant), min(region) FROM audit_entries WHERE search_text IS NULL"
    assert query(postgres_dsn, rows) == [(10, "new", "new")]


async def test_copy_that_finds_no_room_does_not_stay(
    postgres_dsn: str, db: Database, session: Session
) -> None:
    """With the disk full amid a day the copy goes at once: others need the room."""
    await load(db, entries(300))
    before = query(postgres_dsn, ROWS)
    with disk_full(postgres_dsn), pytest.raises(SealingPostponed, match="disk was full"):
        await seal(session, DAY)
    assert query(postgres_dsn, TABLES, [f"{NEW}%"]) == []
    assert query(postgres_dsn, ROWS) == before
    query(postgres_dsn, "UPDATE maintenance SET sealing_rests_until = NULL")
    assert (await seal(session, DAY)).entries == 300


@contextmanager
def disk_full(dsn: str) -> Iterator[None]:
    """Have Postgres say that the disk is full at the 51st entry of any organization in a copy."""
    ((before,),) = query(dsn, "SELECT pg_get_functiondef('entry_search'::regproc)")
    query(dsn, NO_ROOM)
    yield
    query(dsn, before)


async def test_copy_does_not_stay_when_a_maintainer_is_stopped(
    postgres_dsn: str, db: Database, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is asked to end amid a day leaves neither the copy nor its summaries."""
    monkeypatch.setattr(sealing, "ATTEMPT_PAUSE_SECONDS_MAX", 0.05)
    monkeypatch.setattr(sealing, "ATTEMPTS_MAX", 10_000)
    await load(db, entries(10))
    with psycopg.connect(postgres_dsn) as reader:
        reader.execute("SELECT count(*) FROM audit_entries")
        task = asyncio.create_task(seal(session, DAY))
        await until(postgres_dsn, WAITING)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert query(postgres_dsn, TABLES, [f"{NEW}%"]) == []
        assert query(postgres_dsn, "SELECT count(*) FROM day_summaries") == [(0,)]


@pytest.mark.parametrize("point", ["_copy", "_build", "_exchange", "_try_exchange"])
async def test_what_is_cut_off_is_swept_up(
    postgres_dsn: str, db: Database, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    """Wherever a sealing dies, the day is as it was and the next run cleans up and seals it."""
    await load(db, entries(300))
    before = query(postgres_dsn, ROWS)
    original = getattr(sealing, point)

    async def die(session: Session, *rest: Any) -> None:
        """Do it, or half of it, and have the backend killed."""
        backend = await session.fetchval("SELECT pg_backend_pid()")
        doing = asyncio.create_task(original(session, *rest))
        await asyncio.sleep(0)  # its first statement is on its way
        query(postgres_dsn, "SELECT pg_terminate_backend(%s)", [backend])
        await doing
        await session.execute("SELECT 1")

    async with maintenance(settings_at(postgres_dsn)) as store:
        monkeypatch.setattr(sealing, point, die)
        with suppress(DatabaseOutage):
            async with alone(store) as session:
                await seal(session, DAY)
        monkeypatch.setattr(sealing, point, original)
        assert query(postgres_dsn, ROWS) == before
        async with alone(store) as session:
            assert session is not None
            await sweep(session)
            assert query(postgres_dsn, TABLES, [f"{NEW}%"]) == []
            for day in await due(session, NOW.date()):
                await seal(session, day)
    assert query(postgres_dsn, ROWS) == before
    assert query(postgres_dsn, "SELECT day, entries FROM sealed_days") == [(DAY, 300)]


async def test_only_one_maintains(postgres_dsn: str) -> None:
    """The second finds the place taken, until the first is done or dead."""
    async with (
        maintenance(settings_at(postgres_dsn)) as store,
        maintenance(settings_at(postgres_dsn)) as other,
    ):
        async with alone(store) as first, alone(other) as second:
            assert first is not None
            assert second is None
        with suppress(DatabaseOutage):
            async with alone(store) as first:
                assert first is not None
                await kill(postgres_dsn, first)
                await first.execute("SELECT 1")
        async with alone(other) as second:
            assert second is not None


async def test_frozen_maintainer_loses_its_place(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that does nothing amid its round is ended by the database, and another one works."""
    monkeypatch.setattr(maintaining, "FROZEN_AFTER", "200ms")
    async with (
        maintenance(settings_at(postgres_dsn)) as store,
        maintenance(settings_at(postgres_dsn)) as other,
    ):
        with pytest.raises(DatabaseOutage):
            await freeze(postgres_dsn, store, other)
        async with alone(store) as awake:
            assert awake is not None
        async with store.connection() as idle:
            assert await idle.fetchval("SHOW idle_session_timeout") == "0"


async def test_resting_maintainer_keeps_its_place(
    postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rest after a long step may be longer than a frozen maintainer is waited for."""
    monkeypatch.setattr(maintaining, "FROZEN_AFTER", "1s")
    monkeypatch.setattr(maintaining, "SIGN_OF_LIFE_SECONDS", 0.1)
    async with maintenance(settings_at(postgres_dsn)) as store, alone(store) as session:
        assert session is not None
        async with sealing._resting(session, 3.0):
            await session.execute("SELECT pg_sleep(0.5)")
        assert await session.fetchval("SELECT 1") == 1


async def freeze(dsn: str, store: Database, other: Database) -> None:
    """Do nothing amid a round until another one could begin, and go on as if nothing was."""
    async with alone(store) as frozen:
        assert frozen is not None
        await until(dsn, UNLOCKED)
        async with alone(other) as second:
            assert second is not None
        await frozen.execute("SELECT 1")


async def kill(dsn: str, session: Session) -> None:
    """End a session from outside, and wait until it is no more."""
    backend = await session.fetchval("SELECT pg_backend_pid()")
    query(dsn, "SELECT pg_terminate_backend(%s)", [backend])
    await until(dsn, UNLOCKED)


async def test_maintenance_would_rather_fail_than_see_too_little(session: Session) -> None:
    """Row security that applied to it would make it copy, and account for, nothing at all."""
    assert await session.fetchval("SHOW row_security") == "off"
    assert await session.fetchval("SELECT current_user") == MAINTENANCE
    assert await session.fetchval("SELECT count(*) FROM audit_entries") == 0
