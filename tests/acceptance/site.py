"""The read side as its users meet it: a running server, an issuer, and a log with entries."""

import asyncio
import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from processor.demo.issuer import PEOPLE, Issuer, Person
from processor.local.port import free_port
from processor.store.load import load
from processor.store.pool import Database
from schemas.entry import Entry
from tests.integration import bus
from tests.integration.store import an_entry

START_SECONDS_MAX = 30.0
NOW = datetime.now(UTC).replace(microsecond=0)
OLIVIA, ADAM, AUDREY, MIA, GUS, GRETA = PEOPLE


@dataclass
class Site:
    """A server with its issuer; ``url`` is where the page is."""

    url: str
    issuer: Issuer
    bootstrap: str
    prefix: str
    dsn: str

    def token(self, person: Person = OLIVIA) -> str:
        """Return an access token of one of the demo's people."""
        return self.issuer.token(person)


@contextmanager
def site(bootstrap: str, dsn: str, prefix: str, **env: str) -> Iterator[Site]:
    """Run ``hub-audit serve`` and the issuer for the length of a block."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with issuing() as issuer:
        given = {
            "HUB_AUDIT_KAFKA_BOOTSTRAP_SERVERS": bootstrap,
            "HUB_AUDIT_KAFKA_TOPIC_PREFIX": prefix,
            "HUB_AUDIT_POSTGRES_DSN": dsn,
            "HUB_AUDIT_SERVE_PORT": str(port),
            "HUB_AUDIT_SERVE_PUBLIC_URL": url,
            "HUB_AUDIT_SERVE_REQUESTS_PER_SECOND": "1000",
            "HUB_AUDIT_SERVE_BURST_REQUESTS": "10000",
        }
        topic = f"{prefix}raw.audit"
        bus.create(bootstrap, [topic], 3)
        serve = [str(Path(sys.executable).with_name("hub-audit")), "serve"]
        environment = os.environ | given | issuer.settings() | env
        process = subprocess.Popen(serve, env=environment)
        try:
            _until_ready(url, process)
            yield Site(url, issuer, bootstrap, prefix, dsn)
        finally:
            process.terminate()
            process.wait(20)
            bus.delete(bootstrap, [topic])


@contextmanager
def issuing() -> Iterator[Issuer]:
    """Have an issuer that serves on a loop of its own."""
    issuer = Issuer(f"http://127.0.0.1:{free_port()}")
    started, loop = threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        """Serve until told to stop."""
        async with issuer.serving():
            started.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    started.wait(10)
    try:
        yield issuer
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


def _until_ready(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=2) as answer:  # noqa: S310 - ours
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("the server did not become ready")


def stored(dsn: str, entries: list[Entry]) -> None:
    """Put entries into the log, and say that it is complete."""

    async def store() -> None:
        """Load them."""
        db = await Database.open(dsn)
        try:
            await load(db, entries)
            async with db.connection() as connection:
                await connection.execute(
                    "INSERT INTO source_offsets (topic, partition, first_offset, stored_through,"
                    " caught_up_at) VALUES ('raw.identity', 0, 0, 0, now() + interval '1 hour')"
                    " ON CONFLICT DO NOTHING"
                )
        finally:
            await db.close()

    # In a thread of its own: where a browser is, this one has a loop that runs.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, store()).result()


def history(org_id: str = "acme") -> list[Entry]:
    """Return some weeks of one organization, the story of the product page's example in it."""
    made: list[Entry] = []

    def happen(days_ago: float, **fields: Any) -> None:
        at = NOW - timedelta(days=days_ago)
        made.append(an_entry(org_id, f"{org_id}-{len(made)}", at=at, **fields))

    adam = {"type": "user", "id": "usr_adam", "email": "adam@acme.example", "name": "Adam Admin"}
    for day in range(80):
        happen(day + 0.4)
        if day % 9 == 0:
            happen(day + 0.3, action="auth.login_failed", outcome="failure", severity=4,
                   outcome_reason="invalid_credentials")  # fmt: skip
    for day in (3, 12, 25, 40):
        happen(
            day,
            category="product_access",
            action="product_access.revoked",
            severity=5,
            actor=adam,
            target={"type": "product", "id": "prd_crm", "name": "CRM"},
            details={"old": {"level": "editor"}, "grantee": {"type": "user", "id": f"usr_{day}"}},
        )
    happen(
        5,
        category="users",
        action="user.updated",
        severity=3,
        actor=adam,
        target={"type": "user", "id": "usr_bea", "name": '=HYPERLINK("http://x")'},
        details={"old": {"role": "member"}, "new": {"role": "admin", "phone": "+49 30 1"}},
    )
    for day in (2, 9):
        happen(
            day + 0.1,
            category="permissions",
            action="permission.granted",
            severity=5,
            actor=adam,
            target={"type": "user", "id": f"usr_{day}", "name": "Bea \u202eabe"},
            details={"old": {"permissions": []}, "new": {"permissions": ["billing.view"]}},
        )
    return made
