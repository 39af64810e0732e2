"""Where the judge of a soak reads: streams, of which nothing has to be kept."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from tests.faults.world import Place, Seen, World

Result = TypeVar("Result")


class Source(Protocol):
    """Where the judge reads: each stream from its beginning, partitions in order of offset.

    Of the long ones it gets what ``keep`` makes of each record, in several processes if need be.
    """

    frame: World
    """What is small: books, lanes, heads, ends and committed offsets."""

    def ledger(self, keep: Callable[[dict[str, Any]], Result]) -> Iterator[Result]:
        """Yield what is kept of lines and of ``{"acked": [(number, partition, offset)]}``."""

    def raw(self) -> Iterator[Seen]:
        """Yield the committed records of the raw topics."""

    def rows(self, keep: Callable[[dict[str, Any]], Result]) -> Iterator[Result]:
        """Yield what is kept of the entries of the store."""

    def dead_rows(self) -> Iterator[dict[str, Any]]:
        """Yield the dead letters of the store."""

    def published(self, keep: Callable[[Seen], Result]) -> Iterator[Result]:
        """Yield what is kept of committed canonical events and dead letters."""

    def live(self) -> Mapping[Place, "Sum"]:
        """Return what a reader saw meanwhile."""


@dataclass
class Sum:
    """How many records were read of a partition, and the sum of their digests."""

    count: int = 0
    total: int = 0

    def add(self, digest_of_record: int) -> None:
        """Count a record."""
        self.count += 1
        self.total = (self.total + digest_of_record) & (1 << 64) - 1
