"""Gives a new database a past, once: ninety days of two organizations, with what Defend finds."""

import time
from collections.abc import Iterator, Sequence
from typing import cast

from processor.defend.rules import Hours, Key, of_alert, of_entry
from processor.demo.attacks import report
from processor.demo.history import ACME, MINUTE_MS, history, story_ms
from processor.settings import Settings
from processor.store import findings
from processor.store.books import ours
from processor.store.findings import Alert, NewFinding
from processor.store.load import load
from processor.store.pool import FORWARDER
from schemas.entry import Entry
from schemas.telemetry import Telemetry


async def seed(settings: Settings) -> int:
    """Load the history unless there is one; return how many entries were loaded.

    Raises StartRefused where the database is that of another environment.
    """
    async with ours(settings, connections=4) as db:
        async with db.connection() as connection:
            has_past = await connection.fetchval(
                "SELECT EXISTS (SELECT FROM audit_entries WHERE org_id = $1"
                " AND occurred_at < now() - interval '2 days')",
                ACME.id,
            )
        if has_past:
            return 0
        now_ms = time.time_ns() // 1_000_000
        kept: list[Entry] = []
        loaded = await load(db, _remembered(history(now_ms), kept))
    await _find(settings, kept, now_ms)
    return loaded


def _remembered(entries: Iterator[Entry], kept: list[Entry]) -> Iterator[Entry]:
    """Yield entries and keep them: loading numbers them in place."""
    for entry in entries:
        kept.append(entry)
        yield entry


async def _find(settings: Settings, entries: Sequence[Entry], now_ms: int) -> None:
    """Keep what the rules find in entries that are loaded, and the endpoint's report among them."""
    at_ms = story_ms(now_ms, 6) - 4 * MINUTE_MS
    told = report("rep-story", at_ms, ACME.people[1], "osascript-stealer", "malicious")
    signal = of_alert(cast("Telemetry", told), at_ms)
    signals = [(entry["org_id"], of_entry(entry)) for entry in entries] + [(ACME.id, signal)]
    hours, keys = Hours(10 * len(signals)), list[Key]()
    for org_id, each in signals:
        if each is not None:
            for hour in list(hours.missing(org_id, each)):
                hours.begin(*hour, alerted=True)
            keys += hours.add(org_id, each)
    async with ours(settings, role=FORWARDER) as db:
        await findings.keep_alerts(db, [Alert(ACME.id, "rep-story", at_ms, at_ms, told)])
        await findings.keep(db, [NewFinding(*found) for found in hours.judged(keys)])
