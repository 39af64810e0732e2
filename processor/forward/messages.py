"""What goes out on a SIEM topic: entries, heartbeats, test events. Pure.

Every record says up to which ``seq`` its subscriber has now heard of everything
(``hub_through_seq``) and up to which the record before it did (``hub_previous_seq``): who finds the
second always equal to the first of the record before holds all that the filter lets pass. A replay
is such a chain of its own.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple
from uuid import UUID

from processor.emit.route import Header, Outgoing
from processor.siem import FORMATS
from processor.siem.heartbeat import Gap, Heartbeat
from processor.store.subscriptions import Subscription
from schemas.entry import Entry
from schemas.subscription import topic_of

TEST_ID = "00000000-0000-8000-8000-000000000000"


class Chain(NamedTuple):
    """How far a chain of records has come: what was considered, and what the subscriber knows."""

    through: int
    told: int


def entries(
    subscription: Subscription,
    found: Sequence[Entry],
    chain: Chain,
    bytes_max: int,
    replay: UUID | None = None,
) -> tuple[list[Outgoing], Chain]:
    """Return the records of those entries that are wanted, and how far the chain has come.

    That is the last entry, or an earlier one where the records would be more than ``bytes_max``.
    """
    records: list[Outgoing] = []
    size, (through, told) = 0, chain
    for entry in found:
        seq = entry["seq"]
        if subscription.filter.takes(entry):
            value = FORMATS[subscription.format].render(entry)
            size += len(value)
            if records and size > bytes_max:
                break
            records.append(_of_entry(subscription, entry, value, told, replay))
            told = seq
        through = seq
    return records, Chain(through, told)


def heartbeat(
    subscription: Subscription,
    chain: Chain,
    gaps: Iterable[Gap],
    at: str,
    replay: UUID | None = None,
) -> tuple[Outgoing, Chain]:
    """Return a record that says how far everything was heard of, and which numbers do not exist."""
    form = FORMATS[subscription.format]
    said = Heartbeat(
        *(subscription.org_id, chain.through, chain.told, tuple(gaps), at),
        replayed=replay is not None,
    )
    headers: list[Header] = [
        ("content-type", form.content_type.encode()),
        ("hub_heartbeat", b"true"),
        *_progress(chain.told, chain.through, replay),
    ]
    record = _record(subscription, None, form.heartbeat(said), headers)
    return record, Chain(chain.through, chain.through)


def test_event(subscription: Subscription, chain: Chain, order: UUID, at: str) -> Outgoing:
    """Return a made-up entry of the moment, in the subscription's format, that says it is a test.

    Of the moment, since a SIEM shows what is new, and some refuse what is old.
    """
    entry = sample(subscription.org_id, at)
    value = FORMATS[subscription.format].render(entry)
    headers = [
        *_of_format(subscription, entry),
        ("hub_test", str(order).encode()),
        *_progress(chain.told, chain.told, None),
    ]
    return _record(subscription, entry["entry_id"].encode(), value, headers)


def _of_entry(
    subscription: Subscription, entry: Entry, value: bytes, told: int, replay: UUID | None
) -> Outgoing:
    headers = [*_of_format(subscription, entry), *_progress(told, entry["seq"], replay)]
    return _record(subscription, entry["entry_id"].encode(), value, headers)


def _of_format(subscription: Subscription, entry: Entry) -> list[Header]:
    return [
        ("content-type", FORMATS[subscription.format].content_type.encode()),
        ("hub_entry_id", entry["entry_id"].encode()),
        ("hub_seq", b"%d" % entry["seq"]),
        ("hub_action", entry["action"].encode()),
    ]


def _progress(previous: int, through: int, replay: UUID | None) -> list[Header]:
    marks: list[Header] = [
        ("hub_previous_seq", b"%d" % previous),
        ("hub_through_seq", b"%d" % through),
    ]
    return marks if replay is None else [*marks, ("hub_replay", str(replay).encode())]


def _record(
    subscription: Subscription, key: bytes | None, value: bytes, headers: list[Header]
) -> Outgoing:
    topic = topic_of(subscription.org_id, subscription.format)
    return Outgoing(topic, 0, key, value, headers)


def sample(org_id: str, at: str) -> Entry:
    """Return the entry of a test event; its number, 0, is one that no entry ever has."""
    return {
        "schema_version": 1,
        "entry_id": TEST_ID,
        "seq": 0,
        "org_id": org_id,
        "occurred_at": at,
        "occurred_at_quality": "exact",
        "recorded_at": at,
        "category": "authentication",
        "action": "auth.login_success",
        "outcome": "success",
        "severity": 2,
        "actor": {"type": "system", "id": "hub-audit", "name": "Hub Audit test event"},
        "target": {"type": "user", "id": "hub-audit", "name": "Hub Audit test event"},
        "details": {"extra": {"test": True}},
        "source": {
            "service": "/hub/audit",
            "event_type": "audit.subscription.test",
            "event_version": 1,
            "topic": "",
            "partition": 0,
            "offset": 0,
        },
        "raw_sha256": "0" * 64,
        "normalizer": "test",
    }
