"""Everything the oracle looks at, as it stands on Kafka and in Postgres at one quiet moment."""

from collections.abc import Mapping
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


class Told(NamedTuple):
    """A record of a SIEM topic: ``kind`` is live, test with its order, or replay with its id.

    ``content`` is a digest of the entry it carries; a heartbeat has neither that nor ``seq``.
    """

    kind: str
    seq: int | None
    previous: int
    through: int
    entry_id: str | None
    content: int
    offset: int
    markers: frozenset[bytes]


@dataclass
class Siem:
    """A subscription: since which number of its organization, its filter, and what it was told.

    ``replays`` are those that were ordered, each as what it comes after and goes up to; ``open``
    are the orders that still stand in its row.
    """

    org: str
    format: str
    begun: int
    wanted: Mapping[str, Any] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)
    replays: list[tuple[int, int]] = field(default_factory=list)
    open: list[str] = field(default_factory=list)


class Finding(NamedTuple):
    """A finding of Defend, as the store has it, the topic tells it, or it ought to be."""

    org: str
    rule: str
    subject_type: str
    subject: str
    hour_ms: int
    finding_id: str
    version: int
    severity: int
    first_ms: int
    last_ms: int
    actors: tuple[str, ...]
    addresses: tuple[str, ...]
    seqs: frozenset[int]

    @property
    def key(self) -> tuple[object, ...]:
        """What it is about: there is one finding of it."""
        return self[:5]


class Due(NamedTuple):
    """A finding as an undisturbed pass makes it.

    Of a subject about which there is more in an hour than Defend keeps, it finds something between
    ``least``, if that is anything, and ``most``; of all others both are the same.
    """

    least: Finding | None
    most: Finding


@dataclass
class Findings:
    """What Defend should have found, what it has stored, and what it has told.

    ``told`` has the highest version of each finding on the topic; ``torn`` are versions that were
    told in two ways.
    """

    due: list[Due] = field(default_factory=list)
    stored: list[Finding] = field(default_factory=list)
    told: list[Finding] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)


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
    siems: list[Siem] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)
