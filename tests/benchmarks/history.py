"""Ninety days of entries for the figures of reading: loaded in bulk, and sealed."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, cast

from processor.ingest.decode import decode
from processor.normalize import Limits, normalize
from processor.store.load import load
from processor.store.maintenance import alone, maintenance
from processor.store.pool import Database
from processor.store.seal import Sealed, seal
from schemas.entry import Entry
from schemas.raw.envelope import Event
from schemas.record import RawRecord
from tests.benchmarks.events import events
from tests.integration.store import settings_at

DAYS = 90
TEMPLATES = 20_000
RARE_EVERY = 7_499
"""One entry in so many is by the rare actor: some hundred of the largest organization's."""

LARGEST = "org-00000"
RARE = {"type": "user", "id": "usr_rare", "email": "rare@elsewhere.example"}
_FAMILIES = {f"raw.{name}": name for name in ("identity", "permission", "billing", "audit")}


def templates(org_id: str | None = None) -> list[Entry]:
    """Return normalized entries of all kinds, of the organizations by Zipf's law or of one."""
    now_ms = int(time.time() * 1000)
    limits = Limits(100 * 86_400_000, 0, _FAMILIES)
    made = []
    for number, raw in enumerate(events(1, TEMPLATES, now_ms)):
        record = RawRecord(raw.topic, 0, number, now_ms, raw.key, raw.value, ())
        event = decode(record, "raw.redrive")
        entry = normalize(event, limits) if isinstance(event, Event) else None
        if isinstance(entry, dict):
            made.append(cast("Entry", {**entry, "org_id": org_id or entry["org_id"]}))
    return made


def entries(
    count: int, until: datetime, *, days: float = DAYS, org_id: str | None = None
) -> Iterator[Entry]:
    """Yield entries of the days before an instant, evenly spread, oldest first."""
    chance = Random(count)
    some = templates(org_id)
    span_ms = int(days * 86_400_000)
    first_ms = int(until.timestamp() * 1000) - span_ms
    for number in range(count):
        at_ms = first_ms + span_ms * number // count
        yield _made(some[int(chance.random() * len(some))], number, at_ms, chance)


def _made(template: Entry, number: int, at_ms: int, chance: Random) -> Entry:
    """Return an entry like another, of its own time and identity."""
    tail = chance.getrandbits(72)
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    rendered = f"{at:%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}Z"
    hexadecimal = f"{at_ms:012x}8{tail >> 60:03x}8{tail & (2**60 - 1):015x}"
    made: dict[str, Any] = {
        **template,
        "entry_id": "-".join(hexadecimal[a:b] for a, b in _PARTS),
        "occurred_at": rendered,
        "recorded_at": rendered,
        "request_id": f"req_{number:016x}",
        "source": {**template["source"], "event_id": f"evt_{number:024x}", "offset": number},
    }
    if number % RARE_EVERY == 0:
        made["actor"] = RARE
    return cast("Entry", made)


_PARTS = ((0, 8), (8, 12), (12, 16), (16, 20), (20, 32))


async def fill(dsn: str, count: int, org_id: str | None = None) -> int:
    """Load so many entries of the days before today."""
    db = await Database.open(dsn)
    try:
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return await load(db, entries(count, today, org_id=org_id))
    finally:
        await db.close()


async def seal_all(dsn: str, back: range, rest: float = 0.0) -> list[Sealed]:
    """Seal the days that are so many before today, resting after each step as maintenance does."""
    today = datetime.now(UTC).date()
    async with maintenance(settings_at(dsn)) as db, alone(db) as session:
        assert session is not None
        return [await seal(session, today - timedelta(days=days), rest=rest) for days in back]
