"""``hub-audit dead-letters``: finding them, showing them, sending them down the path again."""

from base64 import b64encode
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from processor.emit.redrive import publish
from processor.errors import StartRefused
from processor.settings import Settings
from processor.store.dead_letters import (
    Coordinates,
    Filter,
    StoredDeadLetter,
    list_dead_letters,
    show_dead_letter,
)
from processor.store.pool import Database
from schemas.rejection import Reason

SHOWN_BYTES_MAX = 4_096
"""Of a key, a header or a value in a terminal; ``--json`` has all of it."""


class Selection(NamedTuple):
    """Which dead letters: those at these coordinates, or the newest that pass a filter."""

    coordinates: Sequence[Coordinates] = ()
    wanted: Filter = Filter()
    limit: int = 100


def selection(
    settings: Settings,
    coordinates: Sequence[str],
    *,
    reason: str | None = None,
    topic: str | None = None,
    since: datetime | None = None,
    **rest: Any,
) -> Selection:
    """Return what an operator selected, in the operator's words; raises ValueError.

    ``rest``: ``limit`` and ``open_only``. A topic may be named with or without the prefix.
    """
    if reason is not None and reason not in list(Reason):
        raise ValueError(f"no such reason: {reason}; there are {', '.join(Reason)}")
    if topic is not None and not topic.startswith(settings.kafka.topic_prefix):
        topic = settings.topic(topic)
    wanted = Filter(Reason(reason) if reason else None, topic, since, rest.pop("open_only", False))
    return Selection([coordinates_of(text) for text in coordinates], wanted, **rest)


async def select(settings: Settings, selection: Selection) -> list[StoredDeadLetter]:
    """Return the selected dead letters, oldest first; refuse coordinates where there is none."""
    dsn = settings.postgres.dsn.get_secret_value()
    db = await Database.open(dsn, connections=1)
    try:
        if not selection.coordinates:
            found = await list_dead_letters(db, selection.wanted, limit=selection.limit)
            return sorted(found, key=_age)
        letters = [(at, await show_dead_letter(db, at)) for at in selection.coordinates]
    finally:
        await db.close()
    missing = [place(at) for at, letter in letters if letter is None]
    if missing:
        raise StartRefused([f"there is no dead letter {where}" for where in missing])
    return [letter for _, letter in letters if letter is not None]


async def redrive(settings: Settings, letters: Sequence[StoredDeadLetter]) -> None:
    """Put the records of the dead letters on the redrive topic, acknowledged by the bus."""
    await publish(settings, [letter.dead_letter.record for letter in letters])


def coordinates_of(text: str) -> Coordinates:
    """Return the coordinates that ``topic/partition/offset`` names; raises ValueError."""
    topic, partition, offset = [*text.rsplit("/", 2), "", ""][:3]
    if not topic or not partition.isdecimal() or not offset.isdecimal():
        raise ValueError(f"{text}: TOPIC/PARTITION/OFFSET expected, as `dead-letters list` has it")
    return topic, int(partition), int(offset)


def place(at: Coordinates) -> str:
    """Return the coordinates as one word."""
    return "/".join(map(str, at))


def where(letter: StoredDeadLetter) -> str:
    """Return where the record of a dead letter stood, as one word."""
    record = letter.dead_letter.record
    return place((record.topic, record.partition, record.offset))


def described(letter: StoredDeadLetter) -> dict[str, Any]:
    """Return a dead letter without its bytes, for programs."""
    record, rejection, org_id = letter.dead_letter
    return {
        "at": where(letter),
        "recorded_at": _recorded_at(letter),
        "stage": rejection.stage,
        "reason": rejection.reason,
        "detail": rejection.detail,
        "org_id": org_id,
        "value_bytes": None if record.value is None else len(record.value),
        "redriven_at": letter.redriven_at and letter.redriven_at.isoformat(),
    }


def record_of(letter: StoredDeadLetter) -> dict[str, Any]:
    """Return the bytes of a dead letter, in base64, for programs."""
    record = letter.dead_letter.record
    return {
        "key": _base64(record.key),
        "value": _base64(record.value),
        "headers": [[name, _base64(value)] for name, value in record.headers],
    }


def line(letter: StoredDeadLetter) -> str:
    """Return a dead letter in a line, for people."""
    _, rejection, org_id = letter.dead_letter
    redriven = " (redriven)" if letter.redriven_at else ""
    return (
        f"{where(letter):28} {_recorded_at(letter)} {rejection.reason:24} "
        f"{visible(org_id or '-'):12} {visible(rejection.detail)}{redriven}"
    )


def page(letter: StoredDeadLetter) -> Iterator[str]:
    """Yield the lines that show a dead letter in full, for people."""
    record, rejection, org_id = letter.dead_letter
    yield f"record    {where(letter)}, recorded {_recorded_at(letter)}"
    yield f"rejected  by {rejection.stage}: {rejection.reason}"
    yield f"detail    {visible(rejection.detail)}"
    yield f"org_id    {visible(org_id or 'not known')}"
    yield f"redriven  {letter.redriven_at.isoformat() if letter.redriven_at else 'never'}"
    yield f"key       {_text(record.key)}"
    for name, value in record.headers:
        yield f"header    {visible(name)}: {_text(value)}"
    yield f"value     {_text(record.value)}"


def visible(text: str) -> str:
    """Return the text with everything that could move a terminal's cursor or turn it replaced."""
    return "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


def _text(value: bytes | None) -> str:
    """Return bytes as they may be shown: cut, and harmless."""
    if value is None:
        return "none"
    more = f" ... ({len(value)} bytes)" if len(value) > SHOWN_BYTES_MAX else ""
    return visible(value[:SHOWN_BYTES_MAX].decode(errors="backslashreplace")) + more


def _recorded_at(letter: StoredDeadLetter) -> str:
    at = datetime.fromtimestamp(letter.dead_letter.record.timestamp / 1000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _base64(value: bytes | None) -> str | None:
    return None if value is None else b64encode(value).decode()


def _age(letter: StoredDeadLetter) -> tuple[int, str, int, int]:
    record = letter.dead_letter.record
    return record.timestamp, record.topic, record.partition, record.offset
