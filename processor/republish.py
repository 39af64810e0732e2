"""``hub-audit republish``: canonical events again from the store, for topics that lost them.

The store is the ledger: what a Kafka cluster took with it can be put on the topics again, in the
order of each organization's numbers. Every record says that it may have been there before.
"""

from collections.abc import AsyncIterator
from typing import NamedTuple

from processor.emit.producer import TransactionalProducer
from processor.emit.route import canonical, redelivered
from processor.settings import Settings
from processor.store import survey
from processor.store.books import ours
from processor.store.feed import feed
from processor.store.reader import Reader

ENTRIES_AT_ONCE = 1_000


class Published(NamedTuple):
    """How far an organization has been published again: so many entries, through this number."""

    org_id: str
    entries: int
    through_seq: int


async def organizations(settings: Settings) -> dict[str, int]:
    """Return every organization's last number; refuse the database of another environment."""
    async with ours(settings) as db:
        return await survey.heads(db)


async def republish(settings: Settings, org_id: str, *, after: int) -> AsyncIterator[Published]:
    """Publish an organization's entries behind a number, a transaction of them at a time.

    It ends with the last number there was when it began: what comes later is a worker's to emit.
    Raises an Outage, after which it is to be begun again behind what was yielded last.
    """
    async with Reader.opened(settings) as reader:
        producer = TransactionalProducer(settings, "republish", settings.group)
        through, done = None, 0
        try:
            await producer.start()
            while True:
                page = await feed(reader, org_id, after=after, limit=ENTRIES_AT_ONCE)
                through = page.head_seq if through is None else through
                entries = [entry for entry in page.entries if entry["seq"] <= through]
                if not entries:
                    return
                await producer.renew()
                await producer.transact([redelivered(canonical(entry)) for entry in entries], {})
                after, done = entries[-1]["seq"], done + len(entries)
                yield Published(org_id, done, after)
        finally:
            await producer.abandon()
