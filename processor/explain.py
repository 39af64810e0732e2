"""``hub-audit validate`` and ``normalize``: what would become of the raw events in a file.

The same decode and normalize as on the path, on records made of the file: bare or structured
events, recorded at the moment they are asked about, each on the raw topic that its type belongs on.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from processor.emit.route import canonical
from processor.errors import StartRefused
from processor.ingest.decode import decode
from processor.normalize import Limits, normalize
from processor.settings import Settings
from schemas.catalogue import DEAD_LETTER_TOPIC
from schemas.entry import Entry, render
from schemas.raw import FAMILIES
from schemas.raw.envelope import Origin
from schemas.record import RawRecord
from schemas.rejection import Discard, Rejection

FILE_BYTES_MAX = 256 * 1024 * 1024
"""Held in memory; a file for a test in CI has some kilobytes."""

DAY_MS = 86_400_000


class Judged(NamedTuple):
    """An event of a file (``place``: line or position, from 1) and what becomes of it."""

    place: int
    type: str | None
    end: Entry | Discard | Rejection


def judge(content: bytes, settings: Settings, now_ms: int) -> Iterator[Judged]:
    """Yield what becomes of each event: of a JSON object, a JSON array, or of lines of JSON."""
    if len(content) > FILE_BYTES_MAX:
        raise StartRefused([f"the file is larger than {FILE_BYTES_MAX} bytes: split it"])
    limits = _limits(settings, now_ms)
    topic = settings.topic(settings.topics.identity)
    for place, value in _values(content):
        yield _judge(place, RawRecord(topic, 0, place, now_ms, None, value), settings, limits)


def described(judged: Judged) -> dict[str, Any]:
    """Return the verdict for programs."""
    end = judged.end
    answer: dict[str, Any] = {"place": judged.place, "type": judged.type}
    if isinstance(end, Rejection):
        stage, reason, detail = end
        return answer | {"end": "rejected", "stage": stage, "reason": reason, "detail": detail}
    if isinstance(end, Discard):
        return answer | {"end": "discarded", "rule": end.rule}
    return answer | {"end": "entry", "action": end["action"]}


def complaint(file: str, verdict: Mapping[str, Any]) -> str:
    """Return why an event of a file is rejected, as compilers say such things."""
    detail = f": {verdict['detail']}" if verdict["detail"] else ""
    return f"{file}:{verdict['place']}: {verdict['reason']}{detail}"


def line(judged: Judged) -> str:
    """Return what becomes of an event as a line of JSON: the entry itself, or the verdict."""
    end = judged.end
    if isinstance(end, Rejection | Discard):
        return json.dumps(described(judged))
    return render(end).decode()


def page(judged: Judged, settings: Settings) -> Iterator[str]:
    """Yield the lines that explain to people what becomes of an event."""
    end = judged.end
    yield f"event {judged.place}: {ascii(judged.type)[1:-1] if judged.type else 'not readable'}"
    if isinstance(end, Rejection):
        yield f"  is rejected by {end.stage}: {end.reason}"
        yield f"  {end.detail or 'see its heading in the documentation of the raw events'}"
        yield f"  and becomes a dead letter on {settings.topic(DEAD_LETTER_TOPIC)}"
    elif isinstance(end, Discard):
        yield f"  is not an audit event, by the rule {end.rule}: counted, nothing is stored"
    else:
        yield from _entry_page(end, settings)


def _entry_page(entry: Entry, settings: Settings) -> Iterator[str]:
    outgoing = canonical(entry)
    yield f"  is read from {entry['source']['topic']}"
    yield f"  becomes {entry['action']} ({entry['outcome']}) of {entry['org_id']}"
    yield f"  on {settings.topic(outgoing.topic)}, key {entry['org_id']}, with the headers"
    for name, value in outgoing.headers:
        yield f"    {name}: {(value or b'').decode('ascii', 'backslashreplace')}"
    yield "  and the value"
    text = json.dumps(entry, indent=2)
    yield from (f"    {part}" for part in text.splitlines())


def _judge(place: int, record: RawRecord, settings: Settings, limits: Limits) -> Judged:
    event = decode(record, settings.topic(settings.topics.redrive))
    if isinstance(event, Rejection):
        return Judged(place, None, event)
    family = event.type.partition(".")[0]
    if family in FAMILIES:
        record = record._replace(topic=settings.topic(getattr(settings.topics, family)))
    event = event._replace(record=record, origin=Origin(*record[:4]))
    return Judged(place, event.type, normalize(event, limits))


def _limits(settings: Settings, now_ms: int) -> Limits:
    retention_ms = settings.retention_days * DAY_MS
    oldest_day_ms = (now_ms - retention_ms) // DAY_MS * DAY_MS
    return Limits(retention_ms, oldest_day_ms, settings.families)


def _values(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the value of each record the file stands for, as its bytes are wherever possible."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        lines = enumerate(content.splitlines(), start=1)
        yield from ((number, line) for number, line in lines if line.strip())
        return
    if isinstance(document, list):
        for number, element in enumerate(document, start=1):
            text = json.dumps(element, ensure_ascii=False)
            yield number, text.encode(errors="surrogatepass")
    else:
        yield 1, content
