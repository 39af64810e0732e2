"""What was fetched, unpacked so that no batch harms another one, or the process.

The client unpacks all that it has at hand in one call. An exception in the midst of it took along
what other partitions had brought, whose positions had moved by then; header names that are no UTF-8
were such an exception. So the two classes that do it are replaced here, for all consumers of the
process: they are taken from the module by name.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy


class Drained(NamedTuple):
    """What a partition gave in one go: where that began, where reading goes on, and why not."""

    partition: TopicPartition
    since: int
    through: int
    behind: int
    """The offset behind the batch at which it ended."""

    error: Exception | None


_noted: ContextVar[list[Drained] | None] = ContextVar("drained", default=None)


@contextmanager
def noting() -> Iterator[list[Drained]]:
    """Note what partitions give within a block; what cannot be unpacked is noted, not raised."""
    notes: list[Drained] = []
    token = _noted.set(notes)
    try:
        yield notes
    finally:
        _noted.reset(token)


class _AnyText(bytearray):
    """Bytes of which every part can be read as text."""

    def __getitem__(self, key: Any) -> Any:
        part = super().__getitem__(key)
        return _AnyText(part) if isinstance(key, slice) else part

    def decode(self, encoding: str = "utf-8", _errors: str = "") -> str:
        """Replace what is no text."""
        return super().decode(encoding, "replace")


class AnyNames(_DefaultRecordBatchPy):  # type: ignore[misc] # the client is not typed
    """A batch whose header names may be any bytes; values are bytes anyway."""

    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _AnyText(self._buffer)


class Batches(_MemoryRecordsPy):  # type: ignore[misc] # the client is not typed
    """The batches of one answer of the broker, and where the last one ends."""

    def __init__(self, data: bytes) -> None:
        """Stand before the first one."""
        super().__init__(data)
        self.behind = 0
        self._last: bytearray | memoryview = bytearray()
        self._again = False

    def has_next(self) -> bool:
        """Tell whether there is another one."""
        return self._again or bool(super().has_next())

    def next_batch(self) -> Any:
        """Return the next one, or the last one with names of any bytes."""
        if self._again:
            self._again = False
            return AnyNames(self._last)
        self._last = self._next_slice
        batch = super().next_batch()
        self.behind = batch.next_offset
        return batch

    def repeat(self) -> None:
        """Give the last one again."""
        self._again = True


class Unpacked(fetcher.PartitionRecords):  # type: ignore[misc] # the client is not typed
    """The records of a fetch, up to the first that cannot be read."""

    def _unpack_records(self) -> Iterator[ConsumerRecord[bytes, bytes]]:
        since = self.next_fetch_offset
        error: Exception | None = None
        try:
            yield from self._with_any_names()
        except Exception as raised:  # noqa: BLE001 - whatever was sent, it is this partition's alone
            error = raised
        notes = _noted.get()
        if notes is not None:
            behind = max(self._records.behind, self.next_fetch_offset + 1)
            notes.append(Drained(self._tp, since, self.next_fetch_offset, behind, error))
        elif error is not None:
            raise error

    def _with_any_names(self) -> Iterator[ConsumerRecord[bytes, bytes]]:
        """Unpack batch by batch; what was given of one that is begun again is passed over."""
        while True:
            try:
                yield from super()._unpack_records()
            except UnicodeDecodeError:
                self._records.repeat()
            else:
                return


fetcher.MemoryRecords = Batches
fetcher.PartitionRecords = Unpacked
