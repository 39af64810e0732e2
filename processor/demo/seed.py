"""Gives a new database a past: ninety days of two organizations, once."""

import time

from processor.demo.history import ACME, history
from processor.store.load import load
from processor.store.pool import Database


async def seed(dsn: str) -> int:
    """Load the history unless there is one; return how many entries were loaded."""
    db = await Database.open(dsn)
    try:
        async with db.connection() as connection:
            has_past = await connection.fetchval(
                "SELECT EXISTS (SELECT FROM audit_entries WHERE org_id = $1"
                " AND occurred_at < now() - interval '2 days')",
                ACME.id,
            )
        return 0 if has_past else await load(db, history(time.time_ns() // 1_000_000))
    finally:
        await db.close()
