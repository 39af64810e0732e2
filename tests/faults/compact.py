"""A run of many millions of records in little memory: about 100 bytes for each.

What a judge has to compare later is kept as a number in an array: a code, a place, or a digest of
64 bits where the full run's judge keeps the text itself.
"""

import hashlib
import json
from array import array
from collections.abc import Mapping
from typing import Any, NamedTuple

from tests.faults.judge_ends import plain
from tests.faults.rows import Entry
from tests.faults.world import Headers, Place, Seen

ENDS = ("entry", "discard", "dead_letter", "aborted")
ENTRY, DISCARD, DEAD_LETTER, ABORTED = range(len(ENDS))
NOWHERE = -1
OFFSET_BITS = 40
NOT_OF_THE_EVENT = {"entry_id", "recorded_at", "raw_sha256", "normalizer", "seq"}
COORDINATES = {"topic", "partition", "offset"}


class Names:
    """Small numbers for texts of which there are few."""

    def __init__(self) -> None:
        """Begin with number 0 for nothing."""
        self.texts = [""]
        self._codes = {"": 0}

    def code(self, text: str) -> int:
        """Return the number of a text, a new one if it has none."""
        if text not in self._codes:
            self._codes[text] = len(self.texts)
            self.texts.append(text)
        return self._codes[text]


def digest(*parts: object) -> int:
    """Return a number that tells what is given from anything else, in any process; never 0."""
    found = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(found, "big", signed=True) or 1


def digest_of_event(entry: Entry) -> int:
    """Return the digest of what an entry has of its event, without what bus and store add."""
    kept = {name: value for name, value in entry.items() if name not in NOT_OF_THE_EVENT}
    source = {name: value for name, value in entry["source"].items() if name not in COORDINATES}
    return digest(json.dumps(plain({**kept, "source": source}), sort_keys=True))


def digest_of_bytes(key: bytes | None, value: bytes | None, headers: Headers) -> int:
    """Return the digest of everything that a record brings."""
    return digest(key, value, tuple(headers))


def digest_of_record(record: Seen) -> int:
    """Return the digest of a record at its place in a partition."""
    return digest(*record[2:6], tuple(record.headers))


def sha_of(value: bytes | None) -> int:
    """Return the first 8 bytes of a value's SHA-256."""
    return int.from_bytes(hashlib.sha256(value or b"").digest()[:8], "big", signed=True)


def sha_of_text(hexadecimal: str) -> int:
    """Return the same of a SHA-256 that is written down."""
    return int.from_bytes(bytes.fromhex(hexadecimal[:16]), "big", signed=True)


class Due(NamedTuple):
    """A line of the ledger; its event and its identity are digests, 0 where it has none."""

    number: int
    end: str
    topic: str
    org: str
    kind: str
    reason: str
    content: int
    first: int
    event: int
    identity: int


class Expected:
    """The ledger by number: what must become of each record, and where the bus took it."""

    def __init__(self, places: Mapping[Place, int], prefix: str) -> None:
        """Begin with number 0, which no record has."""
        self._places, self._prefix = places, prefix
        self.orgs, self.reasons, self.kinds = Names(), Names(), Names()
        self.end = bytearray(1)
        self.topic = bytearray(1)
        self.org = array("H", [0])
        self.reason = array("H", [0])
        self.kind = array("H", [0])
        self.content = array("i", [0])
        self.first = array("q", [0])
        self.event = array("q", [0])
        self.identity = array("q", [0])
        self.acked = array("q", [NOWHERE])
        self._topics = Names()

    def __len__(self) -> int:
        """Return the first number that no record has."""
        return len(self.end)

    def expect(self, due: Due) -> None:
        """Take the next line."""
        if due.number != len(self.end):
            raise ValueError(f"line {due.number} of the ledger where {len(self.end)} is due")
        self.end.append(ENDS.index(due.end))
        self.topic.append(self._topics.code(due.topic))
        self.org.append(self.orgs.code(due.org))
        self.reason.append(self.reasons.code(due.reason))
        self.kind.append(self.kinds.code(due.kind))
        self.content.append(due.content)
        self.first.append(due.first)
        self.event.append(due.event)
        self.identity.append(due.identity)
        self.acked.append(NOWHERE)

    def acknowledged(self, number: int, partition: int, offset: int) -> None:
        """Note where the bus says it has a record."""
        topic = self._prefix + self._topics.texts[self.topic[number]]
        self.acked[number] = packed(self._places[topic, partition], offset)

    def org_of(self, number: int) -> str:
        """Return whose record it is."""
        return self.orgs.texts[self.org[number]]

    def told(self, number: int) -> str:
        """Return what kind of record it is, and with which reason it is due to end."""
        reason = self.reasons.texts[self.reason[number]]
        return f"{number} {self.kinds.texts[self.kind[number]]} {reason}".strip()


class Landed:
    """The raw records of one partition by offset, and what became of each; number 0 is a hole."""

    def __init__(self, place: Place) -> None:
        """Begin with nothing."""
        self.place = place
        self.number = array("q")
        self.at_ms = array("q")
        self.sha = array("q")
        self.bytes = array("q")
        self.seq = array("q")
        self.letter = array("H")
        self.published = bytearray()

    def take(self, record: Seen, number: int) -> None:
        """Take the next record, over the offsets that hold none."""
        for column in (self.number, self.at_ms, self.sha, self.bytes, self.seq, self.letter):
            column.extend([0] * (record.offset - len(column)))
        self.published.extend(bytes(record.offset + 1 - len(self.published)))
        self.number.append(number)
        self.at_ms.append(record.timestamp)
        self.sha.append(sha_of(record.value))
        self.bytes.append(digest_of_bytes(record.key, record.value, record.headers))
        self.seq.append(0)
        self.letter.append(0)

    def number_at(self, offset: int) -> int:
        """Return the ledger's number of the record there, 0 if there is none."""
        return self.number[offset] if 0 <= offset < len(self.number) else 0


class Organization:
    """The numbers of one organization: a digest of each row, and how often it was published."""

    def __init__(self) -> None:
        """Begin with number 0, which no entry has."""
        self.value = array("q", [0])
        self.published = bytearray(1)

    def store(self, seq: int, value: int) -> bool:
        """Note the row of a number; return False when there was one already."""
        missing = seq + 1 - len(self.value)
        if missing > 0:
            self.value.extend([0] * missing)
            self.published.extend(bytes(missing))
        first = not self.value[seq]
        self.value[seq] = value
        return first

    def stored(self, seq: int) -> int:
        """Return the digest of a number's row, 0 if there is none."""
        return self.value[seq] if 0 < seq < len(self.value) else 0


def packed(place: int, offset: int) -> int:
    """Return a place in the bus as one number."""
    return place << OFFSET_BITS | offset


def unpacked(spot: int) -> tuple[int, int]:
    """Return place and offset of such a number."""
    return spot >> OFFSET_BITS, spot & (1 << OFFSET_BITS) - 1


def source_of(row: Mapping[str, Any]) -> tuple[Place, int]:
    """Return the partition and the offset of the raw record that a row was made of."""
    return (row["source_topic"], row["source_partition"]), row["source_offset"]
