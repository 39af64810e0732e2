"""Dead letters listed, shown and redriven by command, on a real Kafka and Postgres."""

import asyncio
import json
from collections.abc import Iterator

import pytest
from click.testing import CliRunner, Result

from processor import redrive
from processor.cli import main
from processor.emit import topics
from processor.local.port import free_port
from processor.settings import Settings
from processor.store.dead_letters import write_dead_letters
from schemas.record import RawRecord
from schemas.rejection import DeadLetter, Reason, Rejection, Stage
from tests.integration import bus
from tests.integration.ops import cleaned, configure, environment_of, settings_of
from tests.integration.store import NOW, milliseconds, opened, query

RECORDED_MS = milliseconds(NOW)
HEADERS = (
    ("ce_id", b"e-1"),
    ("odd", b"\xff\x00\x1b[2J"),
    ("none", None),
    ("x-original-topic", b"made up"),
)


@pytest.fixture
def settings(kafka: str, postgres_dsn: str) -> Iterator[Settings]:
    """Give settings for topics and a database that hold three dead letters."""
    with cleaned(settings_of(kafka, postgres_dsn)) as settings:
        asyncio.run(topics.create(settings))
        asyncio.run(store(settings, letters(settings)))
        yield settings


def letters(settings: Settings) -> list[DeadLetter]:
    """Return a dead letter with everything, a tombstone without a key, and one redriven before."""
    billing, redriven = settings.topic("raw.billing"), settings.topic("raw.redrive")
    origin = (("x-original-topic", billing.encode()), ("x-original-partition", b"1"))
    invalid = Rejection(Stage.NORMALIZE, Reason.INVALID_DATA, "$.data.user: object expected")
    empty = Rejection(Stage.DECODE, Reason.EMPTY_VALUE)
    records = [
        RawRecord(billing, 1, 7, RECORDED_MS, b"acme", b'{"a": "\x00\x9b"}', HEADERS),
        RawRecord(billing, 1, 8, RECORDED_MS + 1, None, None, ()),
        RawRecord(redriven, 1, 0, RECORDED_MS + 2, b"acme", b"{}", origin),
    ]
    return [
        DeadLetter(records[0], invalid, "acme"),
        DeadLetter(records[1], empty),
        DeadLetter(records[2], invalid, "acme"),
    ]


def a_letter(topic: str, partition: int, offset: int, value: bytes) -> DeadLetter:
    """Return a dead letter of an organization, recorded now."""
    record = RawRecord(topic, partition, offset, RECORDED_MS, b"acme", value, ())
    return DeadLetter(record, Rejection(Stage.DECODE, Reason.INVALID_JSON), "acme")


async def store(settings: Settings, dead_letters: list[DeadLetter]) -> None:
    """Store dead letters as a lane does."""
    dsn = settings.postgres.dsn.get_secret_value()
    async with opened(dsn) as db, db.transaction() as connection:
        await write_dead_letters(connection, dead_letters)


def run(settings: Settings, *arguments: str, stdin: str | None = None) -> Result:
    """Run a command in the environment of the settings."""
    return CliRunner(env=environment_of(settings)).invoke(
        main, ["dead-letters", *arguments], input=stdin
    )


def on_redrive(settings: Settings) -> list[tuple[object, ...]]:
    """Return what stands on the redrive topic: partition, key, value, headers."""
    records = bus.read(settings.kafka.bootstrap_servers, [settings.topic("raw.redrive")])
    return [(r.partition(), r.key(), r.value(), tuple(r.headers() or ())) for r in records]


def test_list_shows_the_oldest_first(settings: Settings) -> None:
    """A line each: where, when, why, whose; the first column is what show and redrive take."""
    result = run(settings, "list")
    prefix = settings.kafka.topic_prefix
    assert [line.split()[0] for line in result.stdout.splitlines()] == [
        f"{prefix}raw.billing/1/7",
        f"{prefix}raw.billing/1/8",
        f"{prefix}raw.redrive/1/0",
    ]
    at = NOW.strftime("%Y-%m-%dT%H:%M:%S.") + f"{NOW.microsecond // 1000:03d}Z"
    assert result.stdout.splitlines()[0].split(maxsplit=4)[1:] == [
        *(at, "invalid_data", "acme", "$.data.user: object expected"),
    ]


@pytest.mark.parametrize(
    ("options", "offsets"),
    [
        (["--reason", "empty_value"], [8]),
        (["--topic", "raw.redrive"], [0]),
        (["--limit", "1"], [0]),
        (["--since", "2999-01-01"], []),
    ],
    ids=["reason", "topic", "limit", "since"],
)
def test_list_selects(settings: Settings, options: list[str], offsets: list[int]) -> None:
    """By reason, by topic without prefix, by time, and so many of the newest."""
    listed = json.loads(run(settings, "list", "--json", *options).stdout)
    assert [int(letter["at"].rpartition("/")[2]) for letter in listed] == offsets


def test_show_is_harmless_to_the_terminal(settings: Settings) -> None:
    """Everything that came is shown; what would move the cursor is written out."""
    where = f"{settings.kafka.topic_prefix}raw.billing/1/7"
    shown = run(settings, "show", where).stdout
    lines = shown.splitlines()
    assert lines[1:4] == [
        "rejected  by normalize: invalid_data",
        "detail    $.data.user: object expected",
        "org_id    acme",
    ]
    assert lines[-1] == 'value     {"a": "\\u0000\\x9b"}'
    assert "header    odd: \\xff\\u0000\\u001b[2J" in lines
    assert not any(c in shown for c in "\x00\x1b\x9b")


def test_show_gives_programs_the_bytes(settings: Settings) -> None:
    """In JSON key, value and headers are there as they came, in base64."""
    where = f"{settings.kafka.topic_prefix}raw.billing/1/8"
    shown = json.loads(run(settings, "show", "--json", where).stdout)
    assert (shown["key"], shown["value"], shown["headers"]) == (None, None, [])
    assert shown["reason"] == "empty_value"


def test_missing_letter_is_said(settings: Settings) -> None:
    """Coordinates at which no dead letter stands are a complaint, not an empty page."""
    result = run(settings, "show", "raw.billing/0/1")
    assert result.exit_code == 2
    assert result.stderr == "hub-audit: there is no dead letter raw.billing/0/1\n"


def test_redrive_keeps_the_record_and_says_where_it_came_from(settings: Settings) -> None:
    """Key, value, headers and lane stay; ours come last, where they count."""
    result = run(settings, "redrive", "--yes")
    topic = settings.topic("raw.redrive")
    assert result.stdout.splitlines()[-1] == f"3 records sent to {topic}, 0 dead letters left"
    billing = settings.topic("raw.billing").encode()
    timestamp = b"%d" % RECORDED_MS
    assert on_redrive(settings) == [
        (
            1,
            b"acme",
            b'{"a": "\x00\x9b"}',
            (
                *HEADERS,
                ("x-original-topic", billing),
                ("x-original-partition", b"1"),
                ("x-original-offset", b"7"),
                ("x-original-timestamp", timestamp),
                ("x-redriven-topic", billing),
                ("x-redriven-partition", b"1"),
                ("x-redriven-offset", b"7"),
            ),
        ),
        (
            1,
            None,
            None,
            (
                ("x-original-topic", billing),
                ("x-original-partition", b"1"),
                ("x-original-offset", b"8"),
                ("x-original-timestamp", b"%d" % (RECORDED_MS + 1)),
                ("x-redriven-topic", billing),
                ("x-redriven-partition", b"1"),
                ("x-redriven-offset", b"8"),
            ),
        ),
        (
            1,
            b"acme",
            b"{}",
            (
                ("x-original-topic", billing),
                ("x-original-partition", b"1"),
                ("x-redriven-topic", topic.encode()),
                ("x-redriven-partition", b"1"),
                ("x-redriven-offset", b"0"),
            ),
        ),
    ]


def test_redrive_asks_first(settings: Settings) -> None:
    """Without a yes nothing is sent."""
    result = run(settings, "redrive", stdin="n\n")
    assert result.exit_code == 1
    assert "redrive 3 dead letters?" in result.stdout
    assert on_redrive(settings) == []


def test_dry_run_sends_nothing(settings: Settings) -> None:
    """It lists what would be redriven, and that is all."""
    result = run(settings, "redrive", "--dry-run", "--reason", "invalid_data")
    assert result.stdout.splitlines()[-1] == "2 dead letters would be redriven"
    assert on_redrive(settings) == []


def test_named_letters_alone_are_redriven(settings: Settings) -> None:
    """Coordinates select exactly what they name."""
    prefix = settings.kafka.topic_prefix
    assert run(settings, "redrive", "--yes", f"{prefix}raw.billing/1/8").exit_code == 0
    assert [record[:3] for record in on_redrive(settings)] == [(1, None, None)]


def test_redriven_letters_are_left_alone(settings: Settings) -> None:
    """What the path has taken again is not selected a second time."""
    dsn = settings.postgres.dsn.get_secret_value()
    query(dsn, "UPDATE dead_letters SET redriven_at = now() WHERE reason = 'invalid_data'")
    result = run(settings, "redrive", "--dry-run")
    assert result.stdout.splitlines()[-1] == "1 dead letter would be redriven"
    listed = json.loads(run(settings, "list", "--json", "--open").stdout)
    assert [letter["reason"] for letter in listed] == ["empty_value"]


def test_all_that_match_are_redriven(settings: Settings) -> None:
    """However many there are, each once, those of a partition in the order of their offsets."""
    billing = settings.topic("raw.billing")
    asyncio.run(
        store(settings, [a_letter(billing, n % 3, 100 + n, b"%d" % n) for n in range(1_200)])
    )
    result = run(settings, "redrive", "--yes", "--topic", "raw.billing")
    topic = settings.topic("raw.redrive")
    assert result.stdout.splitlines()[-1] == f"1,202 records sent to {topic}, 0 dead letters left"
    sent = on_redrive(settings)
    for lane in range(3):
        values = [value for partition, _, value, _ in sent if partition == lane]
        first: list[object] = [b'{"a": "\x00\x9b"}', None] if lane == 1 else []
        assert values == first + [b"%d" % n for n in range(lane, 1_200, 3)]


def test_limit_leaves_the_others(settings: Settings) -> None:
    """So many are sent, and how many stay is said."""
    result = run(settings, "redrive", "--yes", "--limit", "2")
    topic = settings.topic("raw.redrive")
    assert result.stdout.splitlines()[-1] == f"2 records sent to {topic}, 1 dead letter left"
    assert [value for _, _, value, _ in on_redrive(settings)] == [b'{"a": "\x00\x9b"}', None]


def test_record_that_the_topic_refuses_spoils_no_other(settings: Settings) -> None:
    """It came compressed and is too large now: it is named and stays; those behind it are sent."""
    billing, topic = settings.topic("raw.billing"), settings.topic("raw.redrive")
    asyncio.run(store(settings, [a_letter(billing, 1, 5, bytes(1_100_000))]))
    result = run(settings, "redrive", "--yes")
    assert result.exit_code == 1
    assert (
        result.stderr
        == f"hub-audit: {billing}/1/5 is left: its record is larger than {topic} takes\n"
    )
    assert result.stdout.splitlines()[-1] == f"3 records sent to {topic}, 1 dead letter left"
    assert [value for _, _, value, _ in on_redrive(settings)] == [
        *(b'{"a": "\x00\x9b"}', None, b"{}"),
    ]


async def test_large_records_are_held_one_by_one(settings: Settings) -> None:
    """What unpacked to a lot is sent where the topic takes it, and not many at a time."""
    topic = settings.topic("raw.redrive")
    configure(settings.kafka.bootstrap_servers, topic, "max.message.bytes", "6000000")
    identity = settings.topic("raw.identity")
    await store(settings, [a_letter(identity, 0, n, bytes(5_000_000)) for n in range(3)])
    of_identity = redrive.selection(settings, (), topic="raw.identity", open_only=True)
    sent = redrive.redrive(settings, of_identity, until=NOW)
    assert [part async for part in sent] == [redrive.Sent(1, [])] * 3


async def test_what_was_recorded_later_is_not_sent(settings: Settings) -> None:
    """What is rejected again while others are still being sent does not go round for ever."""
    still_open = redrive.selection(settings, (), open_only=True)
    sent = redrive.redrive(settings, still_open, until=NOW)
    assert [part async for part in sent] == [redrive.Sent(1, [])]


def test_bus_that_is_away_is_said(settings: Settings) -> None:
    """Nothing is claimed to have been sent, and the exit code is not 0."""
    away = settings.kafka.model_copy(update={"bootstrap_servers": f"127.0.0.1:{free_port()}"})
    result = run(settings.model_copy(update={"kafka": away}), "redrive", "--yes")
    assert result.exit_code == 1
    place = away.bootstrap_servers
    said = f"hub-audit: Kafka at {place} is away: nothing was redriven ("
    assert result.stderr.startswith(said)
