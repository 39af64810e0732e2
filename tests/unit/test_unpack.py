"""Unpacking what was fetched: every codec, any names, nothing too large, nothing raised."""

import pytest
from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException

from processor.ingest import unpack
from tests.unit.batches import GZIP, LZ4, SNAPPY, ZSTD, Name, batch, damaged

PLACE = TopicPartition("raw.identity", 3)
READ_COMMITTED = 1


def records_of(*batches: bytes, at: int = 0) -> fetcher.PartitionRecords:
    """Return an answer as the client's fetcher goes about it."""
    answer = fetcher.MemoryRecords(b"".join(batches))
    return fetcher.PartitionRecords(PLACE, answer, None, at, None, None, True, READ_COMMITTED)


def read(*batches: bytes, at: int = 0) -> tuple[list[int], unpack.Drained]:
    """Return the offsets that an answer gives, and what is noted of it."""
    with unpack.noting() as notes:
        offsets = [record.offset for record in records_of(*batches, at=at)]
    (note,) = notes
    return offsets, note


@pytest.mark.parametrize("codec", [0, GZIP, SNAPPY, LZ4, ZSTD])
def test_every_codec_is_unpacked(codec: int) -> None:
    """A compressed batch gives the records that were put in, beside one that is not."""
    packed = batch(0, b"a" * 500, b"b" * 500, codec=codec)
    assert (len(packed) < 500) == bool(codec)
    values = [record.value for record in records_of(packed, batch(2, b"c"))]
    assert values == [b"a" * 500, b"b" * 500, b"c"]


@pytest.mark.parametrize("codec", [0, ZSTD])
def test_names_that_are_no_text_are_replaced(codec: int) -> None:
    """The record passes, and so do those around it, each once; its value is untouched."""
    headers = [("ce_id", b"\xff"), (Name("x"), b"\xfe"), ("none", None)]
    strange = batch(1, b"b" * 99, b"c" * 99, codec=codec, headers=headers)
    found = list(records_of(batch(0, b"a"), strange, batch(3, b"d")))
    assert [record.offset for record in found] == [0, 1, 2, 3]
    assert found[2].headers == (("ce_id", b"\xff"), ("\ufffdx", b"\xfe"), ("none", None))
    assert found[2].value == b"c" * 99


def test_reading_ends_before_a_damaged_batch() -> None:
    """What came before it is given; where it begins and ends is noted, and what is wrong."""
    offsets, note = read(batch(4, b"a", b"b"), damaged(batch(6, b"c", b"d")), batch(8, b"e"), at=5)
    assert (offsets, note.since, note.through, note.behind) == ([5], 5, 6, 8)
    assert isinstance(note.error, CorruptRecordException)


def test_it_raises_for_whoever_notes_nothing() -> None:
    """Another reader than the lanes' is told in the usual way."""
    records = records_of(batch(0, b"a"), damaged(batch(1, b"b")))
    assert next(records).offset == 0
    with pytest.raises(CorruptRecordException):
        next(records)


@pytest.mark.parametrize("codec", [GZIP, LZ4, ZSTD])
def test_a_batch_that_becomes_too_large_is_not_unpacked(
    codec: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound is of what it is unpacked: up to it everything passes."""
    monkeypatch.setattr(unpack, "BATCH_BYTES_MAX", 100_000)
    offsets, note = read(
        batch(0, b"a" * 99_000, codec=codec), batch(1, b"b" * 101_000, codec=codec)
    )
    assert (offsets, note.through, note.behind) == ([0], 1, 2)
    assert "100000 bytes" in str(note.error)


def test_a_batch_of_too_many_records_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each costs more than its bytes."""
    monkeypatch.setattr(unpack, "BATCH_RECORDS_MAX", 2)
    offsets, note = read(batch(0, b"a" * 50, b"b" * 50, b"c" * 50, codec=GZIP))
    assert (offsets, note.through) == ([], 0)
    assert "3 records" in str(note.error)


def test_many_large_batches_are_unpacked_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Reading ends at the bound of an answer, without an error, and goes on from there."""
    monkeypatch.setattr(unpack, "ANSWER_BYTES_MAX", 150_000)
    batches = [batch(base, b"a" * 100_000, codec=GZIP) for base in range(5)]
    assert read(*batches) == ([0, 1], unpack.Drained(PLACE, 0, 2, 3, None))
    assert read(*batches[2:], at=2)[0] == [2, 3]
