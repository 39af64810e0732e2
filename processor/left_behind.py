"""What a lane's last batch left behind: stored, and for all that is known not emitted."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple, Self

from processor.emit import dead_letter
from processor.emit.route import Outgoing, canonical
from processor.pipeline import outgoing
from processor.store import lanes as store
from processor.store.lanes import Unemitted
from processor.store.pool import Database
from schemas.entry import Entry
from schemas.rejection import DeadLetter


class Sample(NamedTuple):
    """A record of a batch, and when the bus took what it was made from, in UNIX ms."""

    record: Outgoing
    made_ms: int


class LeftBehind(NamedTuple):
    """The entries and the dead letters of a batch, as their rows have them."""

    entries: list[Entry]
    dead_letters: list[DeadLetter]

    @classmethod
    async def read(cls, db: Database, unemitted: Unemitted) -> Self:
        """Read what a lane's row lists."""
        return cls(
            await store.read_unemitted(db, unemitted.ranges),
            await store.read_dead_letters(db, unemitted.dead_letters),
        )

    def outgoing(self) -> Iterator[Outgoing]:
        """Yield what the batch puts on the bus."""
        return outgoing(map(canonical, self.entries), self.dead_letters)

    def sample(self) -> Sample | None:
        """Return one record, which stands for all: a transaction is out in full or not at all."""
        if self.entries:
            entry = self.entries[0]
            recorded = datetime.fromisoformat(entry["recorded_at"])
            return Sample(canonical(entry), int(recorded.timestamp() * 1000))
        if self.dead_letters:
            newest = max(self.dead_letters, key=lambda letter: letter.record.timestamp)
            return Sample(dead_letter.outgoing(newest), newest.record.timestamp)
        return None
