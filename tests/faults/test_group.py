"""F14 and operators: the group's members come and go, its offsets are moved by hand."""

import signal
from collections.abc import Callable

import pytest
from confluent_kafka import TopicPartition

from tests.faults import reader
from tests.faults.harness import Stage, until

pytestmark = pytest.mark.timeout(180)
New = Callable[..., Stage]
STORM = 6


def test_a_rebalance_storm(stage: New) -> None:
    """Three workers that come, go and die all the time: nothing lost, twice, or out of order."""
    here = stage(seed=31)
    workers = [here.start() for _ in range(3)]
    here.progress(1)
    for turn in range(STORM):
        here.progress(here.rng.randrange(1, 200))
        victim = workers.pop(0)
        if turn % 3 == 2:
            victim.kill()
        else:
            victim.send(signal.SIGTERM)
        workers.append(here.start())
    verdict = here.judge()
    assert verdict.clean, verdict
    assert all(worker.running for worker in workers)


def move_offsets(here: Stage, offset_of: Callable[[int], int]) -> None:
    """Commit other offsets for the group, as an operator's tool does: without metadata."""
    member = reader.consumer(here.bootstrap, here.group)
    found = here.committed()
    moved = [TopicPartition(*place, offset_of(offset)) for place, (offset, _) in found.items()]
    member.commit(offsets=[at for at in moved if at.offset >= 0], asynchronous=False)
    member.close()


@pytest.mark.parametrize(
    "offset_of", [lambda _: 0, lambda offset: offset + 100], ids=["back", "ahead"]
)
def test_an_operator_moves_the_offsets(stage: New, offset_of: Callable[[int], int]) -> None:
    """The group's offsets are not the position: moved by hand, nothing is repeated or skipped."""
    here = stage(seed=32)
    worker = here.start()
    for _ in range(4):  # several batches per lane: the last one is a part of history only
        here.feed(200)
        here.rest()
    assert worker.drain()[0] == 0
    move_offsets(here, offset_of)
    here.start()
    here.feed(400)
    until(lambda: here.sql("SELECT min(epoch) FROM lanes")[0][0] >= 2, "the lanes are taken over")
    here.progress(1)
    verdict = here.judge()
    assert verdict.clean, verdict
