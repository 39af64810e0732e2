"""``hub-audit dead-letters``: finding them, showing them, sending them down the path again."""

from base64 import b64encode
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from processor.emit.redrive import RedriveTopic
from processor.errors import BusOutage, StartRefused
from processor.settings import Settings
from processor.store.books import ours
from processor.store.dead_letters import (
    BEFORE_ALL,
    Coordinates,
    Filter,
    StoredDeadLetter,
    Summary,
    count_matching,
    newest_dead_letters,
    page_of_dead_letters,
    show_dead_letter,
    summary,
    whole_dead_letters,
)
from processor.store.pool import Database
from processor.terminal import visible
from schemas.rejection import Reason

SHOWN_BYTES_MAX = 4_096
"""Of a key, a header or a value in a terminal; ``--json`` has all of it."""

PAGE_LETTERS = 1_000
"""Looked at at once, without their bytes."""

SENT_LETTERS_MAX = 500
SENT_BYTES_MAX = 8 * 1024 * 1024
"""Held in memory at once, or a single dead letter: its value can have unpacked to 32 MiB."""


class Selection(NamedTuple):
    """Which dead letters: those at these coordinates, or all that pass a filter, or so many."""

    coordinates: Sequence[Coordinates] = ()
    wanted: Filter = Filter()
    limit: int | None = None


class Sent(NamedTuple):
    """How many records are on the redrive topic now, and which it refused for their size."""

    records: int
    refused: list[Coordinates]


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


async def newest(settings: Settings, wanted: Filter, limit: int) -> list[Summary]:
    """Return the newest dead letters that pass a filter, oldest first."""
    async with ours(settings) as db:
        found = await newest_dead_letters(db, wanted, limit=limit)
    return sorted(found, key=lambda letter: (letter.recorded_at, *letter.key))


async def show(settings: Settings, at: Coordinates) -> StoredDeadLetter:
    """Return one dead letter; refuse coordinates where there is none."""
    async with ours(settings) as db:
        letter = await show_dead_letter(db, at)
    if letter is None:
        raise StartRefused([_missing(at)])
    return letter


async def selected(settings: Settings, selection: Selection) -> AsyncIterator[Summary]:
    """Yield the selected dead letters; refuse coordinates where there is none.

    Each raw partition's come in the order of their offsets.
    """
    async with ours(settings) as db:
        async for letter in _selected(db, selection, None):
            yield letter


async def left_out(settings: Settings, selection: Selection) -> int:
    """Return how many dead letters pass the filter beyond the limit."""
    if selection.limit is None or selection.coordinates:
        return 0
    async with ours(settings) as db:
        return max(0, await count_matching(db, selection.wanted) - selection.limit)


async def redrive(
    settings: Settings, selection: Selection, *, until: datetime
) -> AsyncIterator[Sent]:
    """Put the records of the selected on the redrive topic, part by part, acknowledged by the bus.

    ``until`` is when the last of them was recorded: what is rejected again meanwhile is not sent
    again and again.
    """
    count = 0
    async with ours(settings) as db, RedriveTopic.opened(settings) as topic:
        async for part in _parts(_selected(db, selection, until)):
            letters = await whole_dead_letters(db, [letter.key for letter in part])
            try:
                refused = await topic.publish([letter.record for letter in letters])
            except BusOutage as error:
                before = f"{count} records were redriven, then {error}"
                raise BusOutage(f"{before}: redrive those that are still open again") from error
            sent = Sent(
                len(letters) - len(refused),
                [(record.topic, record.partition, record.offset) for record in refused],
            )
            count += sent.records
            yield sent


async def _selected(
    db: Database, selection: Selection, until: datetime | None
) -> AsyncIterator[Summary]:
    if selection.coordinates:
        for named in await _named(db, selection.coordinates):
            yield named
        return
    after, left = BEFORE_ALL, selection.limit
    while left is None or left > 0:
        limit = PAGE_LETTERS if left is None else min(PAGE_LETTERS, left)
        page = await page_of_dead_letters(db, selection.wanted, after, until=until, limit=limit)
        for letter in page:
            yield letter
        if len(page) < limit:
            return
        after, left = page[-1].key, None if left is None else left - limit


async def _named(db: Database, coordinates: Sequence[Coordinates]) -> list[Summary]:
    """Return the dead letters at these coordinates; refuse those where there is none."""
    found, missing = [], []
    for at in coordinates:
        letter = await show_dead_letter(db, at)
        if letter is None:
            missing.append(_missing(at))
        else:
            found.append(summary(letter))
    if missing:
        raise StartRefused(missing)
    return found


async def _parts(letters: AsyncIterator[Summary]) -> AsyncIterator[list[Summary]]:
    """Yield dead letters by so many as may be in memory at once."""
    part: list[Summary] = []
    size = 0
    async for letter in letters:
        size += letter.bytes
        if part and (len(part) == SENT_LETTERS_MAX or size > SENT_BYTES_MAX):
            yield part
            part, size = [], letter.bytes
        part.append(letter)
    if part:
        yield part


def coordinates_of(text: str) -> Coordinates:
    """Return the coordinates that ``topic/partition/offset`` names; raises ValueError."""
    topic, partition, offset = [*text.rsplit("/", 2), "", ""][:3]
    if not topic or not partition.isdecimal() or not offset.isdecimal():
        raise ValueError(f"{text}: TOPIC/PARTITION/OFFSET expected, as `dead-letters list` has it")
    return topic, int(partition), int(offset)


def place(at: Coordinates) -> str:
    """Return the coordinates as one word."""
    return "/".join(map(str, at))


def where(letter: Summary) -> str:
    """Return where the record of a dead letter stood, as one word."""
    return place((letter.topic, letter.partition, letter.offset))


def described(letter: Summary) -> dict[str, Any]:
    """Return a dead letter without its bytes, for programs."""
    return {
        "at": where(letter),
        "recorded_at": _recorded_at(letter),
        "stage": letter.stage,
        "reason": letter.reason,
        "detail": letter.detail,
        "org_id": letter.org_id,
        "value_bytes": letter.value_bytes,
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


def line(letter: Summary) -> str:
    """Return a dead letter in a line, for people."""
    redriven = " (redriven)" if letter.redriven_at else ""
    return (
        f"{where(letter):28} {_recorded_at(letter)} {letter.reason:24} "
        f"{visible(letter.org_id or '-'):12} {visible(letter.detail)}{redriven}"
    )


def page(letter: StoredDeadLetter) -> Iterator[str]:
    """Yield the lines that show a dead letter in full, for people."""
    record, short = letter.dead_letter.record, summary(letter)
    yield f"record    {where(short)}, recorded {_recorded_at(short)}"
    yield f"rejected  by {short.stage}: {short.reason}"
    yield f"detail    {visible(short.detail)}"
    yield f"org_id    {visible(short.org_id or 'not known')}"
    yield f"redriven  {short.redriven_at.isoformat() if short.redriven_at else 'never'}"
    yield f"key       {_text(record.key)}"
    for name, value in record.headers:
        yield f"header    {visible(name)}: {_text(value)}"
    yield f"value     {_text(record.value)}"


def _text(value: bytes | None) -> str:
    """Return bytes as they may be shown: cut, and harmless."""
    if value is None:
        return "none"
    more = f" ... ({len(value)} bytes)" if len(value) > SHOWN_BYTES_MAX else ""
    return visible(value[:SHOWN_BYTES_MAX].decode(errors="backslashreplace")) + more


def _recorded_at(letter: Summary) -> str:
    at = letter.recorded_at.astimezone(UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _missing(at: Coordinates) -> str:
    return f"there is no dead letter {place(at)}"


def _base64(value: bytes | None) -> str | None:
    return None if value is None else b64encode(value).decode()
