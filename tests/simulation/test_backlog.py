"""Taking a lane over in the middle of a backlog, on virtual time."""

from random import Random

from aiokafka import TopicPartition

from processor.emit.lookup import TAIL_OFFSETS
from processor.emit.producer import LaneProducer
from processor.emit.route import canonical
from processor.left_behind import LeftBehind
from processor.settings import Settings
from schemas.record import RawRecord
from tests.simulation.broker import Broker
from tests.simulation.loop import Process, VirtualLoop
from tests.simulation.network import Chances, Network
from tests.simulation.reader import FakeReader
from tests.unit.canonical_entry import entry

RECORDED_MS = 1_795_428_001_000
STORED_MS = RECORDED_MS + 6 * 3_600_000
PUBLISHED = 30_000


def test_batch_of_a_backlog_is_looked_for_at_the_end_of_its_topic() -> None:
    """What was published since its records were recorded may be all of the backlog."""
    loop = VirtualLoop(Random(1))  # type: ignore[abstract] # what it lacks is for sockets
    broker = Broker(loop, Random(1), now_ms=STORED_MS)
    place = (canonical(entry()).topic, 0)
    broker.create(place[0], 1)
    every_ms = (STORED_MS - RECORDED_MS) // PUBLISHED
    broker.logs[place].items += [
        (RawRecord(*place, at, RECORDED_MS + at * every_ms, b"acme", b""), None)
        for at in range(PUBLISHED)
    ]
    begins: list[int] = []

    class Reader(FakeReader):
        """Notes from where it is to read."""

        def seek(self, place: TopicPartition, offset: int) -> None:
            """Set the next offset."""
            begins.append(offset)
            super().seek(place, offset)

    network, process = Network(loop, Random(2), Chances()), Process("p")
    producer = LaneProducer(
        Settings(lanes=1), 0, reader=lambda **options: Reader(process, network, broker, **options)
    )
    sample = LeftBehind([entry()], [], STORED_MS).sample()
    assert sample is not None
    assert loop.run(producer.published(*sample), until_seconds=60) is False
    assert min(begins) == PUBLISHED - TAIL_OFFSETS
