"""What was fetched, unpacked so that no batch harms another one, or the process.

The client unpacks all that it has at hand in one call. An exception in the midst of it took along
what other partitions had brought, whose positions had moved by then; header names that are no UTF-8
were such an exception; and a batch was unpacked however large it became. So the two classes that do
it are replaced here, for all consumers of the process: they are taken from the module by name.
"""

import mmap
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import cramjam
from aiokafka import ConsumerRecord, TopicPartition
from aiokafka.codec import snappy_decode
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException, UnsupportedCodecError
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy
from aiokafka.record.util import calc_crc32c

BATCH_BYTES_MAX = 32 * 1024 * 1024
"""Unpacked: 32 times what a topic takes packed. 48 KB can be told to become 50 MB, or 1 GB."""

BATCH_RECORDS_MAX = 100_000
"""An empty record takes 7 bytes unpacked, and 500 as an object."""

ANSWER_BYTES_MAX = 8 * 1024 * 1024
"""Once so much of a partition is unpacked, the rest is fetched again: there may be many batches."""

SNAPPY = 2
CODECS = {1: cramjam.gzip, 3: cramjam.lz4, 4: cramjam.zstd}

HEAD_BYTES, LENGTH_AT, FOLLOWS_LENGTH = 61, 8, 12
MAGIC_AT, CRC_AT, ATTRIBUTES_AT, COUNT_AT = 16, 17, 21, 57
CODEC_MASK, MAGIC = 0x07, 2
"""Of a batch's layout: the fields that are looked at, or change when it is unpacked."""


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
    """The batches of one answer of the broker, each as it is without compression."""

    def __init__(self, data: bytes) -> None:
        """Stand before the first one."""
        super().__init__(data)
        self.behind = 0
        self._last: bytearray | memoryview = bytearray()
        self._again = False
        self._unpacked_bytes = 0

    def has_next(self) -> bool:
        """Tell whether there is another one to be unpacked now."""
        return self._again or (super().has_next() and self._unpacked_bytes < ANSWER_BYTES_MAX)

    def next_batch(self) -> Any:
        """Return the next one, or the last one with names of any bytes."""
        if self._again:
            self._again = False
            return AnyNames(self._last)
        self._last = self._next_slice
        batch = super().next_batch()
        self.behind = batch.next_offset
        if self._last[MAGIC_AT] < MAGIC or not batch.compression_type or not batch.validate_crc():
            return batch
        self._last = _unpacked(bytes(self._last), batch.compression_type)
        self._unpacked_bytes += len(self._last)
        return DefaultRecordBatch(self._last)

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


def _unpacked(packed: bytes, codec: int) -> bytearray:
    """Return a batch as it would be without compression."""
    (count,) = struct.unpack_from(">i", packed, COUNT_AT)
    if count > BATCH_RECORDS_MAX:
        raise CorruptRecordException(f"a batch of {count} records; {BATCH_RECORDS_MAX} may be")
    batch = bytearray(packed[:HEAD_BYTES])
    batch += _payload(packed[HEAD_BYTES:], codec)
    (attributes,) = struct.unpack_from(">h", batch, ATTRIBUTES_AT)
    struct.pack_into(">h", batch, ATTRIBUTES_AT, attributes & ~CODEC_MASK)
    struct.pack_into(">i", batch, LENGTH_AT, len(batch) - FOLLOWS_LENGTH)
    struct.pack_into(">I", batch, CRC_AT, calc_crc32c(memoryview(batch)[ATTRIBUTES_AT:]))
    return batch


def _payload(packed: bytes, codec: int) -> bytes:
    if codec == SNAPPY:
        return bytes(snappy_decode(packed))  # by its format no more than 22 times as large
    if codec not in CODECS:
        raise UnsupportedCodecError(f"compressed by an unknown codec, {codec}")
    with mmap.mmap(-1, BATCH_BYTES_MAX) as room:  # takes memory only where it is written to
        try:
            size = CODECS[codec].decompress_into(packed, room)
        except cramjam.DecompressionError as error:
            raise CorruptRecordException(
                f"does not unpack, or to more than {BATCH_BYTES_MAX} bytes: {error}"
            ) from error
        return room[:size]


fetcher.MemoryRecords = Batches
fetcher.PartitionRecords = Unpacked
