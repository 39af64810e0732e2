"""Recovering lanes that stopped by themselves, by command, on a real Kafka and Postgres."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Producer

from processor.cli import main
from processor.doctor.bus import of_delivery
from processor.emit import topics
from processor.emit.producer import LaneProducer
from processor.emit.route import canonical, partition_of
from processor.forward.shard import LOST, Shard
from processor.ingest import group, published
from processor.recover import diagnose
from processor.settings import Settings
from processor.store import subscriptions as store
from processor.store.pool import FORWARDER, Database
from processor.store.recovery import LostBatches
from tests.integration.forwarding import Subscriber, World, begun
from tests.integration.ops import cleaned, environment_of, settings_of
from tests.integration.store import NOW, StoringLane, an_entry, milliseconds, opened, query

LANE = partition_of("acme", 3)


@pytest.fixture
def settings(kafka: str, postgres_dsn: str) -> Iterator[Settings]:
    """Give settings for topics and a database in which a lane has stored one batch."""
    with cleaned(settings_of(kafka, postgres_dsn)) as settings:
        asyncio.run(topics.create(settings))
        asyncio.run(store_a_batch(settings))
        yield settings


async def store_a_batch(settings: Settings) -> None:
    """Store two entries of one organization as the lane's first batch."""
    async with opened(settings.postgres.dsn.get_secret_value()) as db:
        lane = await StoringLane.take(db, LANE)
        await lane.store(an_entry("acme", "e-1"), an_entry("acme", "e-2"))


async def publish(settings: Settings, last: dict[str, int], batch: int) -> None:
    """Publish each organization's entries up to a number, as a batch of the lane."""
    producer = LaneProducer(settings, LANE)
    await producer.start()
    entries = [
        an_entry(org_id, f"e-{seq}", seq=seq)
        for org_id, through in last.items()
        for seq in range(1, through + 1)
    ]
    offsets = dict.fromkeys(settings.raw_topics, 0)
    await producer.publish([canonical(entry) for entry in entries], offsets, batch)
    await producer.abandon()


def run(settings: Settings, *arguments: str) -> Result:
    """Run the command in the environment of the settings."""
    return CliRunner(env=environment_of(settings)).invoke(main, ["recover", *arguments])


def test_numbers_go_on_behind_what_is_published(settings: Settings) -> None:
    """Heads stand above everything published; what was skipped is kept, and the lane may go on."""
    asyncio.run(publish(settings, {"acme": 5, "lost": 3}, batch=4))
    result = run(settings, "--yes")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        (
            f"lane {LANE}: batch 4 is published, 1 is stored: every organization's numbers go on "
            "behind what is on the canonical topics"
        ),
        f"lanes moved: {LANE}",
        "organizations lifted: 2; see seq_gaps",
    ]
    dsn = settings.postgres.dsn.get_secret_value()
    assert query(dsn, "SELECT * FROM org_heads ORDER BY 1") == [("acme", 5), ("lost", 3)]
    gaps = query(dsn, "SELECT org_id, seqs::text FROM seq_gaps ORDER BY 1")
    assert gaps == [("acme", "{[3,6)}"), ("lost", "{[1,4)}")]
    assert query(dsn, "SELECT batch FROM lanes") == [(4,)]
    assert run(settings, "--yes").stdout.startswith("nothing to recover")


@asynccontextmanager
async def forwarded(settings: Settings) -> AsyncIterator[tuple[World, Subscriber, Shard, Database]]:
    """Have a SIEM that was told the two entries there are, and what tells it more."""
    dsn = settings.postgres.dsn.get_secret_value()
    async with opened(dsn) as writer, opened(dsn, role=FORWARDER) as forwarder:
        world = World(settings, writer, forwarder)
        siem = await world.subscribe()
        await world.execute("UPDATE subscriptions SET forwarded_through = 0, told_through = 0")
        async with begun(world) as shard:
            await world.rounds(shard)
            yield world, siem, shard, writer


def lose_all_but_the_first_batch(settings: Settings, batch: int) -> None:
    """Set the database back to its first two entries; ``batch`` is then the lane's last one."""
    dsn = settings.postgres.dsn.get_secret_value()
    query(dsn, "DELETE FROM audit_entries WHERE seq > 2")
    query(dsn, "UPDATE org_heads SET last_seq = 2")
    query(dsn, "UPDATE lanes SET batch = %s", (batch,))
    query(dsn, "UPDATE subscriptions SET forwarded_through = 2, told_through = 2")


async def test_numbers_go_on_behind_what_siems_were_told(settings: Settings) -> None:
    """Entries that a forwarder read before they were published take no numbers from new ones."""
    async with forwarded(settings) as (world, siem, shard, writer):
        lane = await StoringLane.take(writer, LANE)
        await lane.store(an_entry("acme", "e-3"), an_entry("acme", "e-4"))
        await publish(settings, {"acme": 4}, batch=2)
        await lane.store(*[an_entry("acme", f"e-{seq}") for seq in (5, 6, 7)])
        await world.rounds(shard)
        lose_all_but_the_first_batch(settings, batch=1)
        result = await asyncio.to_thread(run, settings, "--yes")
        assert (result.exit_code, result.stderr) == (0, "")
        assert "acme: SIEMs were told numbers up to 7, 2 is stored" in result.stdout
        lane = await StoringLane.take(writer, LANE)
        await lane.store(*[an_entry("acme", f"new-{n}") for n in (1, 2, 3, 4)])
        await shard.begin()
        await world.rounds(shard)
    assert siem.seqs() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    siem.assert_complete(11)
    gaps = query(settings.postgres.dsn.get_secret_value(), "SELECT seqs::text FROM seq_gaps")
    assert gaps == [("{[3,8)}",)]


async def test_loss_of_what_was_told_before_it_was_published_stops_the_subscription(
    settings: Settings,
) -> None:
    """Where no lane stops since batch numbers agree, nothing is skipped unseen: it is recovered."""
    async with forwarded(settings) as (world, siem, shard, writer):
        await publish(settings, {"acme": 2}, batch=1)
        lane = await StoringLane.take(writer, LANE)
        await lane.store(an_entry("acme", "e-3"))
        await world.rounds(shard)
        lose_all_but_the_first_batch(settings, batch=1)
        await world.rounds(shard)
        standing = await world.standing()
        assert (standing.state, standing.error) == ("failing", LOST.format(through=3, last=2))
        (found,) = await of_delivery(settings, writer)
        assert found.said == (
            "the database lost entries that SIEMs were told (acme: 3 told, 2 stored)"
        )
        assert (await asyncio.to_thread(run, settings, "--yes")).exit_code == 0
        lane = await StoringLane.take(writer, LANE)
        await lane.store(an_entry("acme", "new-1"))
        await world.until_tried(shard)
        assert (await world.standing()).state == "active"
    assert siem.seqs() == [1, 2, 3, 4]


async def test_numbers_that_were_given_twice_are_not_passed_over(settings: Settings) -> None:
    """A subscription that has failed for it does so until somebody has looked at it."""
    async with forwarded(settings) as (world, siem, shard, writer):
        lane = await StoringLane.take(writer, LANE)
        await lane.store(an_entry("acme", "e-3"))
        await world.rounds(shard)
        lose_all_but_the_first_batch(settings, batch=1)
        await world.rounds(shard)
        lane = await StoringLane.take(writer, LANE)
        await lane.store(an_entry("acme", "new-1"), an_entry("acme", "new-2"))
        await world.until_tried(shard)
        assert (await world.standing()).error == LOST.format(through=3, last=2)
        assert siem.seqs() == [1, 2, 3]
        assert await store.set_paused(world.db, "acme", "hub", paused=False)
        await world.rounds(shard)
    assert siem.seqs() == [1, 2, 3, 4]


async def test_no_answer_is_believed_at_once_that_says_too_little(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the group says a moment later counts: its coordinator may have been reading its log."""
    monkeypatch.setattr(group, "AGREED_SECONDS", 2.0)
    looking = asyncio.create_task(diagnose(settings))
    await asyncio.sleep(0.5)
    await publish(settings, {"acme": 5}, batch=4)
    assert (await looking).lost == [LostBatches(LANE, 1, 4)]


def test_margin_leaves_room_for_what_is_gone(settings: Settings) -> None:
    """With a margin every organization's numbers go on so many further."""
    asyncio.run(publish(settings, {"acme": 3}, batch=2))
    assert run(settings, "--yes", "--margin", "100").exit_code == 0
    dsn = settings.postgres.dsn.get_secret_value()
    assert query(dsn, "SELECT * FROM org_heads") == [("acme", 103)]


def stored_at(settings: Settings, at_ms: int) -> None:
    """Say in the lane's row when its last batch was stored, as workers do."""
    unemitted = json.dumps({"ranges": {}, "dead_letters": [], "at": at_ms})
    query(settings.postgres.dsn.get_secret_value(), "UPDATE lanes SET unemitted = %s", (unemitted,))


def last_seq(settings: Settings) -> int:
    """Return the number of the one organization there is."""
    (row,) = query(settings.postgres.dsn.get_secret_value(), "SELECT last_seq FROM org_heads")
    return int(row[0])


def test_end_of_topics_is_read_whatever_the_clocks_say(settings: Settings) -> None:
    """A worker's clock that was ahead by hours hides nothing that was published last."""
    asyncio.run(publish(settings, {"acme": 5}, batch=2))
    stored_at(settings, milliseconds(NOW + timedelta(hours=9)))
    assert run(settings, "--yes").exit_code == 0
    assert last_seq(settings) == 5


def test_old_records_are_left_out(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was published long before the database stored last is in it; --since looks further."""
    monkeypatch.setattr(published, "TAIL_OFFSETS", 0)
    asyncio.run(publish(settings, {"acme": 5}, batch=2))
    stored_at(settings, milliseconds(NOW + timedelta(hours=2)))
    assert run(settings, "--yes").exit_code == 0
    assert last_seq(settings) == 2
    asyncio.run(publish(settings, {"acme": 5}, batch=3))
    stored_at(settings, milliseconds(NOW + timedelta(hours=2)))
    assert (
        run(settings, "--yes", "--since", f"{NOW - timedelta(hours=1):%Y-%m-%d %H:%M:%S}").exit_code
        == 0
    )
    assert last_seq(settings) == 5


def test_time_at_which_the_database_is_not_known_to_be_complete_is_refused(
    settings: Settings,
) -> None:
    """Numbers that were published before it would be given again: nothing is changed."""
    asyncio.run(publish(settings, {"acme": 5}, batch=2))
    stored_at(settings, milliseconds(NOW))
    result = run(settings, "--yes", "--since", f"{NOW:%Y-%m-%d %H:%M:%S}")
    assert result.exit_code == 2
    assert "numbers of it would be given again" in result.stderr
    assert last_seq(settings) == 2


async def test_transaction_that_is_open_hides_nothing(settings: Settings) -> None:
    """What is committed behind one that a killed process left is waited for."""
    place = canonical(an_entry("acme", "e-1", seq=1))
    topic = settings.topic(place.topic)
    killed = Producer(
        {
            "bootstrap.servers": settings.kafka.bootstrap_servers,
            "transactional.id": f"{settings.group}.killed",
        }
    )
    killed.init_transactions()
    killed.begin_transaction()
    killed.produce(topic, b"{}", partition=partition_of("acme", settings.lanes))
    killed.flush()
    await publish(settings, {"acme": 5}, batch=2)
    left: list[int] = []

    def end_it(done: int, total: int) -> None:
        """End the transaction once it has been met."""
        if not left:
            killed.abort_transaction()
        left.append(total - done)

    assert await published.heads(settings, progress=end_it) == {"acme": 5}
    assert left[0] > 0


def test_topic_that_was_created_anew_is_read_from_its_beginning(settings: Settings) -> None:
    """The books go on from the new topic's begin, and still balance."""
    dsn, raw = settings.postgres.dsn.get_secret_value(), settings.topic("raw.billing")
    query(
        dsn,
        "INSERT INTO source_offsets (topic, partition, first_offset, stored_through, entries)"
        " VALUES (%s, %s, 0, 9, 9)",
        (raw, LANE),
    )
    result = run(settings, "--yes")
    expected = f"{raw}/{LANE}: ends at 0, stored through 9: it is read from its beginning, 0"
    assert result.stdout.splitlines()[0] == expected
    books = "SELECT stored_through, passed, balanced FROM books WHERE topic = %s"
    assert query(dsn, books, (raw,)) == [(0, 9, True)]


def test_nothing_happens_without_a_yes(settings: Settings) -> None:
    """What was found is shown before it asks; no is no."""
    asyncio.run(publish(settings, {"acme": 5}, batch=4))
    result = run(settings)
    assert result.exit_code == 1
    assert "batch 4 is published, 1 is stored" in result.stdout
    dsn = settings.postgres.dsn.get_secret_value()
    assert query(dsn, "SELECT last_seq, batch FROM org_heads, lanes") == [(2, 1)]


def test_database_that_never_saw_the_lane_is_refused(settings: Settings) -> None:
    """A lane without a row cannot be moved: the way to get one is told, and nothing is lifted."""
    asyncio.run(publish(settings, {"acme": 5}, batch=4))
    dsn = settings.postgres.dsn.get_secret_value()
    query(dsn, "DELETE FROM lanes")
    result = run(settings, "--yes")
    assert result.exit_code == 2
    assert result.stderr.startswith(f"hub-audit: lanes {LANE} were never taken over")
    assert query(dsn, "SELECT * FROM seq_gaps") == []
