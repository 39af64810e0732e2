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
    """A record of a batch, and a UNIX time in ms before which it was not published."""

    record: Outgoing
    made_ms: int


class LeftBehind(NamedTuple):
    """The entries and the dead letters of a batch, as their rows have them, and when it was stored.

    Where that is not known, it was after the bus took the records: hours after, in a backlog, and
    all that was published since would be looked through.
    """

    entries: list[Entry]
    dead_letters: list[DeadLetter]
    stored_ms: int | None = None

    @classmethod
    async def read(cls, db: Database, unemitted: Unemitted) -> Self:
        """Read what a lane's row lists."""
        return cls(
            await store.read_unemitted(db, unemitted.ranges),
            await store.read_dead_letters(db, unemitted.dead_letters),
            unemitted.at_ms,
        )

    def outgoing(self) -> Iterator[Outgoing]:
        """Yield what the batch puts on the bus."""
        return outgoing(map(canonical, self.entries), self.dead_letters)

    def sample(self) -> Sample | None:
        """Return one record, which stands for all: a transaction is out in full or not at all."""
        if self.entries:
            entry = self.entries[0]
            recorded = datetime.fromisoformat(entry["recorded_at"])
            return self._sampled(canonical(entry), int(recorded.timestamp() * 1000))
        if self.dead_letters:
            newest = max(self.dead_letters, key=lambda letter: letter.record.timestamp)
            return self._sampled(dead_letter.outgoing(newest), newest.record.timestamp)
        return None

    def _sampled(self, record: Outgoing, recorded_ms: int) -> Sample:
        return Sample(record, recorded_ms if self.stored_ms is None else self.stored_ms)
