"""Where the judge of a soak reads: streams, of which nothing has to be kept."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tests.faults.compact import digest
from tests.faults.world import Place, Seen, World


class Source(Protocol):
    """Where the judge reads: each stream from its beginning, partitions in order of offset."""

    frame: World
    """What is small: books, lanes, heads, ends and committed offsets."""

    def ledger(self) -> Iterator[dict[str, Any]]:
        """Yield lines, and acknowledgements as ``{"acked": [(number, partition, offset)]}``."""

    def raw(self) -> Iterator[Seen]:
        """Yield the committed records of the raw topics."""

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the entries of the store."""

    def dead_rows(self) -> Iterator[dict[str, Any]]:
        """Yield the dead letters of the store."""

    def published(self) -> Iterator[Seen]:
        """Yield the committed records of the canonical topics and the dead letters."""

    def live(self) -> Mapping[Place, "Sum"]:
        """Return what a reader saw meanwhile."""


@dataclass
class Sum:
    """How many records were read of a partition, and the sum of their digests."""

    count: int = 0
    total: int = 0

    def add(self, record: Seen) -> None:
        """Count a record."""
        self.count += 1
        what = digest(record.offset, record.timestamp, record.key, record.value)
        self.total = (self.total + digest(what, tuple(record.headers))) & (1 << 64) - 1
