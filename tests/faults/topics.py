"""The topics of one scenario, made and removed with librdkafka's admin client."""

from collections.abc import Sequence

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from tests.faults.catalog import CANONICAL_TOPICS, DEAD_LETTERS, RAW_TOPICS

PATIENCE_SECONDS = 60
RAW_CONFIG = {"message.timestamp.type": "LogAppendTime"}
# Not of the write path, but a worker refuses to start without them.
DEFEND = ("hub.defend.findings", "defend.endpoint_telemetry")
STAMPED = (*RAW_TOPICS, DEFEND[1])
# 64 KiB above the raw topics' 1 MiB: a dead letter is its record and some headers.
DEAD_LETTER_CONFIG = {"max.message.bytes": str(1_048_588 + 65_536)}


def all_topics(prefix: str) -> list[str]:
    """Return every topic the processor reads or writes."""
    return [prefix + name for name in (*RAW_TOPICS, *CANONICAL_TOPICS, DEAD_LETTERS, *DEFEND)]


def create(bootstrap: str, prefix: str, lanes: int) -> None:
    """Create the topics and wait until they are there."""
    wanted = []
    for name in (*RAW_TOPICS, *CANONICAL_TOPICS, DEAD_LETTERS, *DEFEND):
        config = RAW_CONFIG if name in STAMPED else {}
        config = DEAD_LETTER_CONFIG if name == DEAD_LETTERS else config
        wanted.append(NewTopic(prefix + name, lanes, 1, config=config))
    admin = AdminClient({"bootstrap.servers": bootstrap})  # kept: its futures die with it
    answers = admin.create_topics(wanted, operation_timeout=PATIENCE_SECONDS)
    for answer in answers.values():
        answer.result(PATIENCE_SECONDS)


def delete(bootstrap: str, prefix: str) -> None:
    """Delete the topics."""
    names: Sequence[str] = all_topics(prefix)
    admin = AdminClient({"bootstrap.servers": bootstrap})
    answers = admin.delete_topics(list(names), operation_timeout=PATIENCE_SECONDS)
    for answer in answers.values():
        answer.result(PATIENCE_SECONDS)
