"""A short run of the fuzzer, and its entries into a real table."""

from datetime import UTC, datetime, timedelta
from random import Random

from processor.ingest.decode import decode
from processor.normalize import normalize
from processor.store.entries import encoded
from processor.store.lanes import take_over
from processor.store.partitions import ensure_days
from processor.store.writer import Advance, Batch, Candidate, write
from schemas.rejection import Discard, Rejection
from tests.fuzz import aims
from tests.fuzz.corpus import NOW_MS
from tests.integration.store import StoringLane, opened

INPUTS = 12_000
SAMPLE = 2_000


def test_every_input_comes_to_an_end() -> None:
    """Whatever is sent becomes an entry, a discard or one of the closed set of rejections."""
    ends, failed = aims.some(range(INPUTS))
    assert not failed, failed
    # What was mutated still reaches the end of the path, or the deep reasons were never tried.
    assert ends["entry"] > INPUTS // 10
    assert {"invalid_json", "invalid_data", "missing_actor", "discard no_change"} <= ends.keys()


async def test_postgres_takes_what_becomes_an_entry(postgres_dsn: str) -> None:
    """A row of whatever became an entry is a row that the table takes."""
    today = datetime.fromtimestamp(NOW_MS / 1000, UTC).date()
    candidates = []
    for seed in range(SAMPLE):
        record = aims.record(Random(seed))._replace(topic="raw.identity", offset=seed)
        event = decode(record, "raw.redrive")
        if isinstance(event, Rejection):
            continue
        entry = normalize(event, aims.LIMITS)
        if not isinstance(entry, Rejection | Discard):
            end = encoded(entry, record)
            assert isinstance(end, Candidate), end
            candidates.append(end)
    assert len(candidates) > SAMPLE // 20
    async with opened(postgres_dsn) as db:
        await ensure_days(db, today - timedelta(days=92), today + timedelta(days=3))
        lane = await StoringLane.take(db)
        state = await take_over(db, 0)
        advance = {"raw.identity": Advance(SAMPLE, SAMPLE - len(candidates), 0)}
        assert lane.lane == 0
        stored = await write(db, Batch(0, state.epoch, candidates, [], advance))
    reasons = {str(letter.rejection.reason) for letter in stored.dead_letters}
    assert reasons <= {"id_conflict"}, reasons
    assert any(stored.seqs)
