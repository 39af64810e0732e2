"""Route: which topic, key and headers an entry's canonical event has. Pure.

The event is CloudEvents 1.0 in binary mode: attributes in headers, the entry as JSON in the value.
What depends on the action, the outcome or the organization alone is built once; what depends on
the number, which only storing gives, comes last.
"""

from functools import lru_cache
from typing import NamedTuple

from schemas.catalogue import CATALOGUE
from schemas.entry import SCHEMA_ID, Entry, render
from schemas.entry import numbered as entry_numbered

SOURCE = "/hub/audit"
"""``ce_source`` of every canonical event."""

REDELIVERY_HEADER = ("hub_redelivery", b"true")
"""Says that the event may have been published before: the bus forgot whether it was."""

ORGANIZATIONS_CACHED_MAX = 16_384
"""Headers of an organization take some 400 bytes: 6 MiB for as many as one worker serves."""

Header = tuple[str, bytes | None]


class Action(NamedTuple):
    """What an event has by its action and outcome."""

    topic: str
    category: str
    headers: tuple[Header, ...]


class Organization(NamedTuple):
    """What an event has by its organization."""

    key: bytes
    headers: tuple[Header, ...]


class Outgoing(NamedTuple):
    """A record to be published; ``topic`` is without prefix.

    ``partition`` None means the one to which the key hashes.
    """

    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: list[Header]


class Unnumbered(NamedTuple):
    """A canonical event that lacks nothing but its number, which storing gives it.

    It is what remains of an entry meanwhile: a few bytes objects instead of its mappings.
    """

    action: Action
    organization: Organization
    rendered: bytes
    entry_id: bytes
    occurred_at: bytes
    subject: bytes | None
    traceparent: bytes | None


def unnumbered(entry: Entry, rendered: bytes) -> Unnumbered:
    """Return the canonical event of an entry, as far as it is known before the entry is stored."""
    target = entry["target"]
    traceparent = None
    if "trace_id" in entry and "span_id" in entry:
        # The entry keeps no flags. 01 says that the caller may have recorded the trace, 00 would
        # claim that it did not. We open no span, so the starting trace is also that of this hop.
        traceparent = f"00-{entry['trace_id']}-{entry['span_id']}-01".encode()
    return Unnumbered(
        _of_action(entry["action"], entry["outcome"]),
        _of_organization(entry["org_id"]),
        rendered,
        entry["entry_id"].encode(),
        entry["occurred_at"].encode(),
        f"{target['type']}/{target['id']}".encode() if "id" in target else None,
        traceparent,
    )


def numbered(event: Unnumbered, seq: int) -> Outgoing:
    """Return the canonical event of an entry that was stored under this number."""
    return _outgoing(event, seq, entry_numbered(event.rendered, seq))


def canonical(entry: Entry) -> Outgoing:
    """Return the canonical event of an entry that has its number."""
    rendered = render(entry)
    return _outgoing(unnumbered(entry, rendered), entry["seq"], rendered)


def _outgoing(event: Unnumbered, seq: int, value: bytes) -> Outgoing:
    action, (key, of_organization), _, entry_id, occurred_at, subject, traceparent = event
    headers: list[Header] = [
        *action.headers,
        *of_organization,
        ("ce_id", entry_id),
        ("ce_time", occurred_at),
        ("ce_orgseq", b"%d" % seq),
    ]
    if subject is not None:
        headers.append(("ce_subject", subject))
    if traceparent is not None:
        headers += (("ce_traceparent", traceparent), ("traceparent", traceparent))
    return Outgoing(action.topic, None, key, value, headers)


def redelivered(outgoing: Outgoing) -> Outgoing:
    """Return the same record, marked as one that may have been published before."""
    return outgoing._replace(headers=[*outgoing.headers, REDELIVERY_HEADER])


@lru_cache(ORGANIZATIONS_CACHED_MAX)
def partition_of_key(key: bytes | None, partitions: int) -> int:
    """Return the partition of ``key``, as Java's default partitioner has it; 0 without a key."""
    return 0 if key is None else (murmur2(key) & 0x7FFF_FFFF) % partitions


def partition_of(org_id: str, partitions: int) -> int:
    """Return the partition of an organization's records: its lane."""
    return partition_of_key(org_id.encode(), partitions)


def murmur2(key: bytes) -> int:
    """Return Kafka's murmur2 hash of ``key`` as an unsigned 32-bit number."""
    mask, multiplier = 0xFFFF_FFFF, 0x5BD1_E995
    size = len(key)
    hashed = 0x9747_B28C ^ size
    whole = size - size % 4
    for at in range(0, whole, 4):
        word = int.from_bytes(key[at : at + 4], "little") * multiplier & mask
        word = (word ^ word >> 24) * multiplier & mask
        hashed = hashed * multiplier & mask ^ word
    if whole < size:
        hashed = (hashed ^ int.from_bytes(key[whole:], "little")) * multiplier & mask
    hashed = (hashed ^ hashed >> 13) * multiplier & mask
    return hashed ^ hashed >> 15


@lru_cache(2 * len(CATALOGUE))
def _of_action(action: str, outcome: str) -> Action:
    topic = CATALOGUE[action].topic
    headers: tuple[Header, ...] = (
        ("ce_specversion", b"1.0"),
        ("ce_source", SOURCE.encode()),
        ("ce_type", topic.encode()),
        ("ce_dataschema", SCHEMA_ID.encode()),
        ("content-type", b"application/json"),
        ("ce_hubaction", action.encode()),
        ("ce_outcome", outcome.encode()),
    )
    return Action(topic, CATALOGUE[action].category, headers)


@lru_cache(ORGANIZATIONS_CACHED_MAX)
def _of_organization(org_id: str) -> Organization:
    key = org_id.encode()
    return Organization(key, (("ce_partitionkey", key), ("ce_orgid", key)))
