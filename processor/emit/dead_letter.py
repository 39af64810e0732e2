"""Dead letters: a rejected record goes to its topic as it came, with what was wrong. Pure.

A record may come compressed and hold more than its topic takes; a dead letter is not compressed. So
each part of it has a bound: one that its topic refuses would hold the lane up for ever.
"""

from collections.abc import Sequence

from processor.emit.route import Header, Outgoing
from schemas.catalogue import DEAD_LETTER_TOPIC
from schemas.rejection import DeadLetter

VALUE_BYTES_MAX = 512 * 1024
"""Twice the largest value that can pass; what is cut off stands in the table."""

KEY_BYTES_MAX = 64 * 1024
HEADERS_BYTES_MAX = 256 * 1024
"""Far above what is in use; with the value 832 KiB, where the topic takes 1 MiB and 64 KiB."""

HEADER_LENGTHS_BYTES = 10
"""What a header takes at most beside its name and its value: how long each is."""

DETAIL_BYTES_MAX = 1024
"""The topic takes 64 KiB more than the raw topics do, for all of these headers."""


def outgoing(dead_letter: DeadLetter, topic: str = DEAD_LETTER_TOPIC) -> Outgoing:
    """Return the record to publish: original bytes and headers, then the ``dl_`` headers.

    It keeps its lane as partition. A tombstone stays one; what is too long is cut, and
    ``dl_truncated`` says how many bytes the value had, or the key, or how many headers there were.
    """
    record, (stage, reason, detail), _ = dead_letter
    key, value, kept = record.key, record.value, _kept(record.headers)
    headers: list[Header] = [
        *kept,
        ("dl_stage", stage.encode()),
        ("dl_reason", reason.encode()),
        ("dl_detail", detail.encode("unicode_escape")[:DETAIL_BYTES_MAX]),
        ("dl_topic", record.topic.encode()),
        ("dl_partition", b"%d" % record.partition),
        ("dl_offset", b"%d" % record.offset),
        ("dl_timestamp", b"%d" % record.timestamp),
    ]
    cuts: list[bytes] = []
    if value is not None and len(value) > VALUE_BYTES_MAX:
        cuts.append(b"%d" % len(value))
        value = value[:VALUE_BYTES_MAX]
    if key is not None and len(key) > KEY_BYTES_MAX:
        cuts.append(b"key=%d" % len(key))
        key = key[:KEY_BYTES_MAX]
    if len(kept) < len(record.headers):
        cuts.append(b"headers=%d" % len(record.headers))
    if cuts:
        headers.append(("dl_truncated", b",".join(cuts)))
    return Outgoing(topic, record.partition, key, value, headers)


def _kept(headers: Sequence[Header]) -> Sequence[Header]:
    """Return as many of the record's headers, from the first on, as there is room for."""
    room = HEADERS_BYTES_MAX
    for count, (name, value) in enumerate(headers):
        room -= len(name.encode()) + len(value or b"") + HEADER_LENGTHS_BYTES
        if room < 0:
            return headers[:count]
    return headers
