"""What happened at acme's, as far as Defend is concerned: entries in the log, and its findings."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

import orjson

from processor.defend.detector import Detector, Observation
from processor.defend.records import of_telemetry
from processor.defend.rules import of_entry
from processor.normalize.instant import render
from processor.store.load import load
from processor.store.pool import FORWARDER, Database
from schemas.entry import Entry
from tests.acceptance.site import NOW
from tests.integration.store import an_entry

# Ten minutes into an hour, so that no attack goes over the turn of one.
BASE = NOW.replace(minute=10, second=0) - timedelta(hours=1)
ABROAD = "203.0.113.66"
BOB = {"type": "user", "id": "usr_bob", "email": "bob@acme.example"}
EVE = {"type": "user", "id": "usr_eve", "email": "eve@acme.example", "name": "Eve"}


def attacks() -> list[Entry]:
    """Return the entries of four attacks."""
    made: list[Entry] = []

    def happen(hours_ago: float, number: int, **fields: Any) -> None:
        at = BASE - timedelta(hours=hours_ago, seconds=-9 * number)
        fields = {"category": "authentication", "recorded_at": render(_ms(at) + 200)} | fields
        made.append(an_entry("acme", f"attack-{len(made)}", at=at, **fields))

    for number in range(40):
        happen(2, number, action="auth.login_failed", outcome="failure", severity=5, ip=ABROAD,
               actor=BOB, target=BOB, outcome_reason="invalid_credentials")  # fmt: skip
    happen(2, 41, actor=BOB, target=BOB, ip=ABROAD)
    for number in range(12):
        who = {"type": "user", "id": f"usr_{number}", "email": f"user{number}@acme.example"}
        happen(30, number, action="auth.login_failed", outcome="failure", severity=5,
               actor=who, target=who, ip="198.51.100.7")  # fmt: skip
        happen(50, number, action="role.assigned", category="roles", severity=6,
               actor=EVE, target=who)  # fmt: skip
    product = {"type": "product", "id": "prd_crm", "name": "CRM"}
    details = {"grantee": {"type": "user", "id": "usr_eve"}}
    for number, action in ((0, "product_access.granted"), (60, "product_access.revoked")):
        happen(70, number, action=action, category="product_access", severity=5,
               actor=EVE, target=product, details=details)  # fmt: skip
    return made


def found(dsn: str) -> None:
    """Store the attacks, and have them found."""

    async def find() -> None:
        """Do it as Defend does."""
        entries = attacks()
        writer, db = await Database.open(dsn), await Database.open(dsn, role=FORWARDER)
        try:
            await load(writer, entries)
            signals = (of_entry(entry) for entry in entries)
            told = [Observation("acme", signal) for signal in signals if signal]
            report = of_telemetry(_report(), _ms(BASE - timedelta(hours=49)))
            assert isinstance(report, Observation)
            await Detector(db, 1_000_000).take(list(chain(told, [report])))
        finally:
            await writer.close()
            await db.close()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, find()).result()


def _report() -> bytes:
    at = BASE - timedelta(hours=50, minutes=3)
    return orjson.dumps(
        {
            "id": "rep-1", "time": render(_ms(at)), "orgid": "acme",
            "host": {"id": "h-17", "name": "EVE-LAPTOP", "ip": "203.0.113.9"},
            "user": {"email": "eve@acme.example"}, "verdict": "malicious",
            "process": {"name": "lsass-dump.exe", "path": "C:\\Users\\eve\\lsass-dump.exe"},
            "title": "Credential theft tool",
        }
    )  # fmt: skip


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
