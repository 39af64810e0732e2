"""The bounded queue before a lane."""

import asyncio

from processor.ingest.intake import Intake
from schemas.record import RawRecord


def record(offset: int, size: int = 10) -> RawRecord:
    """Return a record of so many bytes."""
    return RawRecord("raw.identity", 0, offset, 0, None, b"x" * size)


async def take(intake: Intake, seconds: float = 0.0) -> list[int]:
    """Take a batch without waiting for more."""
    return [each.offset for each in await intake.take(wait_seconds=seconds, gather_seconds=0)]


async def test_batches_keep_the_order_and_the_number_of_records() -> None:
    """A batch has at most its number of records, and nothing is lost between two of them."""
    intake = Intake(records_max=2, bytes_max=1_000)
    intake.offer([record(n) for n in range(5)])
    assert [await take(intake) for _ in range(3)] == [[0, 1], [2, 3], [4]]


async def test_a_batch_ends_before_it_holds_too_many_bytes() -> None:
    """Records that would burst the bound wait for the next batch; one alone always passes."""
    intake = Intake(records_max=10, bytes_max=100)
    intake.offer([record(0, 60), record(1, 60), record(2, 400), record(3, 1)])
    assert [await take(intake) for _ in range(4)] == [[0], [1], [2], [3]]


async def test_it_is_full_by_number_and_by_bytes() -> None:
    """Full means that a whole batch waits, and ends when it is taken."""
    intake = Intake(records_max=2, bytes_max=100)
    intake.offer([record(0)])
    assert not intake.full
    intake.offer([record(1)])
    assert intake.full
    await take(intake)
    assert not intake.full
    intake.offer([record(2, 200)])
    assert intake.full


async def test_taking_waits_for_the_first_record() -> None:
    """A lane without records sleeps until one arrives."""
    intake = Intake(records_max=2, bytes_max=100)
    taking = asyncio.create_task(take(intake, 10))
    await asyncio.sleep(0)
    intake.offer([record(7)])
    assert await taking == [7]


async def test_an_idle_lane_gets_an_empty_batch() -> None:
    """Nothing within the time to wait is an empty batch, not an error."""
    assert await take(Intake(records_max=2, bytes_max=100), 0.01) == []


async def test_closing_wakes_who_waits_and_gives_nothing_out() -> None:
    """What waits in a closed queue is left to the lane's next owner."""
    intake = Intake(records_max=2, bytes_max=100)
    taking = asyncio.create_task(take(intake, 10))
    await asyncio.sleep(0)
    intake.close()
    assert await taking == []
    intake.offer([record(1)])
    assert await take(intake) == []
