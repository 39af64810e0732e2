"""Where a worker can be made to die or freeze: names of moments, and the calls they stand for.

The product has no failpoints. A moment is before or after a call of one of its functions, or of
the client library under it, which a worker started for a fault test has wrapped.
"""

from typing import NamedTuple


class Point(NamedTuple):
    """A moment: the call it stands at, and on which side of it."""

    module: str
    name: str
    when: str  # before | after | inside


POINTS = {
    # A batch, in the order of the protocol.
    "after_poll": Point("processor.ingest.consumer", "Consumer.poll", "after"),
    "before_store": Point("processor.pipeline", "write", "before"),
    "mid_copy": Point("asyncpg.connection", "Connection.copy_to_table", "inside"),
    "after_pg_commit": Point("processor.pipeline", "write", "after"),
    "after_begin": Point("aiokafka", "AIOKafkaProducer.begin_transaction", "after"),
    "after_produce": Point("aiokafka", "AIOKafkaProducer.send_offsets_to_transaction", "before"),
    "after_send_offsets": Point(
        "aiokafka", "AIOKafkaProducer.send_offsets_to_transaction", "after"
    ),
    "before_end_txn": Point("aiokafka", "AIOKafkaProducer.commit_transaction", "before"),
    "after_end_txn": Point("aiokafka", "AIOKafkaProducer.commit_transaction", "after"),
    # A take-over.
    "after_fencing": Point("processor.emit.producer", "LaneProducer.start", "after"),
    "after_take_over": Point("processor.store.lanes", "take_over", "after"),
    "before_settle": Point("processor.lane", "Lane._publish", "before"),
    "after_settle": Point("processor.lane", "Lane._publish", "after"),
    # An idle lane writes how far it is complete.
    "after_caught_up": Point("processor.store.lanes", "caught_up", "after"),
}

IN_A_BATCH = tuple(POINTS)[:9]
IN_A_TAKE_OVER = ("after_fencing", "after_take_over", "before_settle", "after_settle")
