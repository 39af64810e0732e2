"""A record: bytes and coordinates on Kafka, before anything is known of its meaning."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

ORIGINAL, REDRIVEN = "x-original-", "x-redriven-"
"""How headers on the redrive topic begin: of the record that one stands for, and of the dead letter
it was sent from. Behind them stand ``topic``, ``partition``, ``offset``, and of the first
``timestamp``."""


class Record(Protocol):
    """What every step reads of a Kafka record.

    The Kafka client's own record class has this shape, so the hot path converts nothing.
    """

    @property
    def topic(self) -> str:
        """Topic it was read from."""

    @property
    def partition(self) -> int:
        """Partition it was read from: the lane."""

    @property
    def offset(self) -> int:
        """Offset within the partition."""

    @property
    def timestamp(self) -> int:
        """The broker's append time, milliseconds since 1970."""

    @property
    def key(self) -> bytes | None:
        """Record key; the organization where upstream does as told."""

    @property
    def value(self) -> bytes | None:
        """Record value; None is a tombstone."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes | None]]:
        """Headers in order; names may repeat."""


class RawRecord(NamedTuple):
    """A record that did not come from the consumer: a file, a test, a stored dead letter."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()
