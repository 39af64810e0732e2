"""Everything the oracle looks at, as it stands on Kafka and in Postgres at one quiet moment."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.faults.ledger import Line

Place = tuple[str, int]  # topic as on Kafka, partition
Spot = tuple[str, int, int]  # and offset
Headers = list[tuple[str, bytes | None]]


class Seen(NamedTuple):
    """A record as a read_committed reader gets it."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers

    @property
    def spot(self) -> Spot:
        """Where it stands."""
        return self.topic, self.partition, self.offset

    def header(self, name: str) -> str | None:
        """Return the last header of that name as text."""
        for known, value in reversed(self.headers):
            if known == name and value is not None:
                return value.decode("utf-8", "replace")
        return None


class Ends(NamedTuple):
    """Where a partition begins and ends: for everyone, and for readers of committed data."""

    low: int
    high: int
    stable: int


@dataclass
class World:
    """One observation; the oracle's self-test plants its bugs into copies of it."""

    prefix: str
    lanes: int
    ledger: dict[int, Line]
    raw: list[Seen]
    canonical: list[Seen]
    dead: list[Seen]
    ends: dict[Place, Ends]
    committed: dict[Place, tuple[int, str]]
    rows: list[dict[str, Any]]
    dead_rows: list[dict[str, Any]]
    books: list[dict[str, Any]]
    heads: dict[str, int]
    lane_rows: list[dict[str, Any]]
    seq_gaps: int = 0
    source_gaps: int = 0
    live: list[Seen] = field(default_factory=list)
    acked: dict[int, tuple[int, int]] = field(default_factory=dict)
