"""Quix Streams, exactly-once, with a sink that copies; ``--trusting`` leaves validation out.

It runs in an environment of its own, made from ``requirements.txt`` beside this file.
"""

import sys
import tempfile
from typing import Any

import orjson
from quixstreams import Application, message_context  # type: ignore[import-not-found]
from quixstreams.sinks import BatchingSink  # type: ignore[import-not-found]

from tests.benchmarks.rivals import afternoon
from tests.benchmarks.rivals.afternoon import BOOTSTRAP_SERVERS, GROUP, OUT, PREFIX, Entry

COMMIT_EVERY = 20_000
COMMIT_SECONDS = 5.0
TRUSTING = "--trusting" in sys.argv


class CopySink(BatchingSink):  # type: ignore[misc]
    """Copies what came of a partition between two commits."""

    def setup(self) -> None:
        """Connect."""
        self._connection = afternoon.connected()

    def write(self, batch: Any) -> None:
        """Store a batch."""
        afternoon.store(self._connection, [row.value for row in batch])


def entry_of(value: bytes, _key: Any, timestamp_ms: int, _headers: Any) -> Entry | None:
    """Map a record."""
    event = orjson.loads(value) if TRUSTING else afternoon.validated(value)
    context = message_context()
    place = context.topic, context.partition, context.offset
    return afternoon.entry_of(event, place, timestamp_ms)


def main() -> None:
    """Consume, store and emit until SIGTERM."""
    with tempfile.TemporaryDirectory(prefix="hub-audit-quix-") as directory:
        application(directory).run()


def application(directory: str) -> Application:
    """Return the application; it keeps what it has to remember in a directory."""
    app = Application(
        broker_address=BOOTSTRAP_SERVERS,
        consumer_group=GROUP,
        auto_offset_reset="earliest",
        commit_every=COMMIT_EVERY,
        commit_interval=COMMIT_SECONDS,
        state_dir=directory,
        loglevel="WARNING",
        processing_guarantee="exactly-once",
    )
    out = app.topic(PREFIX + OUT, value_serializer="json")
    # One frame a topic: joining them would align their times, which is slower.
    for name in afternoon.RAW_TOPICS:
        records = app.dataframe(app.topic(name, value_deserializer="bytes"))
        entries = records.apply(entry_of, metadata=True).filter(lambda entry: entry is not None)
        entries.to_topic(out).sink(CopySink())
    return app


if __name__ == "__main__":
    main()
