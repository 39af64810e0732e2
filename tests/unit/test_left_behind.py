"""What a batch left behind, and which of its records is looked for."""

from processor.emit import dead_letter
from processor.emit.route import canonical
from processor.left_behind import LeftBehind, Sample
from schemas.record import RawRecord
from schemas.rejection import DeadLetter, Reason, Rejection, Stage
from tests.unit.canonical_entry import entry


def letter(recorded_ms: int) -> DeadLetter:
    """Return a dead letter."""
    record = RawRecord("raw.identity", 3, recorded_ms, recorded_ms, b"key", b"{")
    return DeadLetter(record, Rejection(Stage.DECODE, Reason.INVALID_JSON, "expected a value"))


def test_of_dead_letters_the_newest_is_looked_for() -> None:
    """It cannot have been published before it was recorded, and the others were recorded before."""
    left = LeftBehind([], [letter(1_000), letter(3_000), letter(2_000)])
    assert left.sample() == Sample(dead_letter.outgoing(letter(3_000)), 3_000)


def test_of_entries_any_stands_for_the_batch() -> None:
    """A transaction is out in full or not at all; what is looked for is as it was published."""
    left = LeftBehind([entry(), entry(seq=43)], [letter(9_000)])
    assert left.sample() == Sample(canonical(entry()), 1_795_428_001_000)
    assert next(left.outgoing()) == canonical(entry())


def test_of_nothing_nothing_is_looked_for() -> None:
    """A batch of discards and duplicates has put nothing on any topic."""
    assert LeftBehind([], []).sample() is None


def test_what_is_looked_for_was_published_after_it_was_stored() -> None:
    """In a backlog that is hours after the bus recorded what it was made from."""
    stored_ms = 1_795_449_601_000
    for left in (LeftBehind([entry()], [], stored_ms), LeftBehind([], [letter(1_000)], stored_ms)):
        sample = left.sample()
        assert sample is not None
        assert sample.made_ms == stored_ms
