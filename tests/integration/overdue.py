"""What the tests of maintenance share: a day that is too old, and where its purge is announced."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta

from processor.settings import Settings
from processor.store.load import load
from processor.store.pool import Database
from tests.integration import bus
from tests.integration.ops import settings_of
from tests.integration.store import an_entry, opened

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
KEPT = TODAY - timedelta(days=90)
OLD = KEPT - timedelta(milliseconds=1)
OLD_DAY = OLD.date()


@contextmanager
def announcing(kafka: str, dsn: str) -> Iterator[Settings]:
    """Have settings, and the topic on which purges are announced, for the length of a block."""
    settings = settings_of(kafka, dsn)
    with bus.topics(kafka, [settings.topic(settings.topics.audit)], 3):
        yield settings


@asynccontextmanager
async def overdue(dsn: str) -> AsyncIterator[Database]:
    """Have two entries of the day that is too old, and one of the oldest kept."""
    async with opened(dsn) as database:
        old = [an_entry("acme", "1", at=OLD), an_entry("beta", "1", at=OLD)]
        await load(database, [*old, an_entry("acme", "2", at=KEPT)])
        yield database
