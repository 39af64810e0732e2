"""Dead letters: a rejected record goes to its topic as it came, with what was wrong. Pure."""

from processor.emit.route import Header, Outgoing
from schemas.catalogue import DEAD_LETTER_TOPIC
from schemas.rejection import DeadLetter

VALUE_BYTES_MAX = 512 * 1024
"""Twice the largest value that can pass; what is cut off stands in the table."""

DETAIL_BYTES_MAX = 1024
"""The topic takes 64 KiB more than the raw topics do, for all of these headers."""


def outgoing(dead_letter: DeadLetter, topic: str = DEAD_LETTER_TOPIC) -> Outgoing:
    """Return the record to publish: original bytes and headers, then the ``dl_`` headers.

    It keeps its lane as partition. A tombstone stays one; a value that is too long is cut, and
    ``dl_truncated`` says how many bytes it had.
    """
    record, (stage, reason, detail), _ = dead_letter
    headers: list[Header] = [
        *record.headers,
        ("dl_stage", stage.encode()),
        ("dl_reason", reason.encode()),
        ("dl_detail", detail.encode("unicode_escape")[:DETAIL_BYTES_MAX]),
        ("dl_topic", record.topic.encode()),
        ("dl_partition", b"%d" % record.partition),
        ("dl_offset", b"%d" % record.offset),
        ("dl_timestamp", b"%d" % record.timestamp),
    ]
    value = record.value
    if value is not None and len(value) > VALUE_BYTES_MAX:
        headers.append(("dl_truncated", b"%d" % len(value)))
        value = value[:VALUE_BYTES_MAX]
    return Outgoing(topic, record.partition, record.key, value, headers)
