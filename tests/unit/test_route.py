"""Routing: the whole canonical event, the SDK's reading of it, and Java's partitioner."""

import json
import random

import pytest
from aiokafka.partitioner import murmur2 as murmur2_of_the_client
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary, to_binary
from cloudevents.core.formats.json import JSONFormat

from processor.emit.route import (
    Outgoing,
    canonical,
    murmur2,
    partition_of,
    partition_of_key,
    redelivered,
)
from schemas.catalogue import CATALOGUE
from schemas.entry import render
from tests.unit.canonical_entry import entry

TRACE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
EVENT = Outgoing(
    topic="hub.iam.user_created",
    partition=None,
    key=b"acme",
    value=(
        b'{"schema_version":1,"entry_id":"01a207d9-217b-828a-a137-81caa759c1be","seq":42,'
        b'"org_id":"acme","occurred_at":"2026-11-23T10:00:00.123Z","occurred_at_quality":"exact",'
        b'"recorded_at":"2026-11-23T10:00:01.000Z","category":"users","action":"user.created",'
        b'"outcome":"success","severity":4,"actor":{"type":"user","id":"u-1","name":"Zo\xc3\xab"},'
        b'"target":{"type":"user","id":"u-2"},"details":{"new":{"id":"u-2"}},'
        b'"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","span_id":"00f067aa0ba902b7",'
        b'"source":{"service":"/hub/identity","event_type":"identity.user.created",'
        b'"event_version":1,"event_id":"evt-1","topic":"raw.identity","partition":3,"offset":41},'
        b'"raw_sha256":"' + b"ab" * 32 + b'","normalizer":"1"}'
    ),
    headers=[
        ("ce_specversion", b"1.0"),
        ("ce_source", b"/hub/audit"),
        ("ce_type", b"hub.iam.user_created"),
        ("ce_dataschema", b"urn:hub:audit:entry:1"),
        ("content-type", b"application/json"),
        ("ce_hubaction", b"user.created"),
        ("ce_outcome", b"success"),
        ("ce_partitionkey", b"acme"),
        ("ce_orgid", b"acme"),
        ("ce_id", b"01a207d9-217b-828a-a137-81caa759c1be"),
        ("ce_time", b"2026-11-23T10:00:00.123Z"),
        ("ce_orgseq", b"42"),
        ("ce_subject", b"user/u-2"),
        ("ce_traceparent", TRACE),
        ("traceparent", TRACE),
    ],
)

# Expectations of Kafka's own test of its hash.
JAVA = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


def test_canonical_event_whole() -> None:
    """Topic, key, value and every header of a canonical event."""
    assert canonical(entry()) == EVENT


def test_what_has_no_value_is_no_header() -> None:
    """No subject without a target id, no trace context without a trace."""
    bare = canonical(entry(target={"type": "user"}, trace_id=..., span_id=...))
    assert bare.headers == EVENT.headers[:-3]


def test_outcome_and_organization_are_the_entry_s_own() -> None:
    """Headers that are built once belong to one action, outcome and organization."""
    failed = canonical(entry(outcome="failure", org_id="org_2", seq=7))
    headers = dict(failed.headers)
    assert (headers["ce_outcome"], headers["ce_hubaction"]) == (b"failure", b"user.created")
    assert (failed.key, headers["ce_orgid"], headers["ce_partitionkey"]) == (b"org_2",) * 3
    assert headers["ce_orgseq"] == b"7"
    assert canonical(entry()) == EVENT


@pytest.mark.parametrize("action", CATALOGUE)
def test_the_sdk_reads_what_was_written(action: str) -> None:
    """The CloudEvents SDK finds the same event in the record, and would write it the same way."""
    given = entry(action=action, target={"type": "user", "id": "ü/7"})
    sent = canonical(given)
    assert sent.value is not None
    carried = {name: value or b"" for name, value in sent.headers}
    read = from_binary(KafkaMessage(carried, sent.key, sent.value), JSONFormat())
    assert read.get_data() == json.loads(render(given))
    assert (read.get_type(), read.get_id()) == (CATALOGUE[action].topic, given["entry_id"])
    assert (read.get_subject(), read.get_source()) == ("user/ü/7", "/hub/audit")
    assert read.get_datacontenttype() == "application/json"
    assert read.get_extension("orgseq") == "42"
    written = to_binary(read, JSONFormat(), key_mapper=lambda _: sent.key)
    own = dict(written.headers)
    time = own.pop("ce_time")
    assert time.replace(b"123000Z", b"123Z") == carried["ce_time"]
    assert own == {k: v for k, v in carried.items() if k not in ("ce_time", "traceparent")}


def test_redelivered_event_says_so() -> None:
    """It is the same record with one header more; the original is left as it was."""
    sent = canonical(entry())
    assert redelivered(sent) == EVENT._replace(
        headers=[*EVENT.headers, ("hub_redelivery", b"true")]
    )
    assert sent == EVENT


def test_hash_is_that_of_java() -> None:
    """The vectors are those of Kafka's own test."""
    assert {key: murmur2(key) for key in JAVA} == {k: h & 0xFFFFFFFF for k, h in JAVA.items()}


def test_hash_agrees_with_the_client_s() -> None:
    """For keys of every length, also such as no organization has."""
    draw = random.Random(7)
    for size in range(70):
        key = draw.randbytes(size)
        assert murmur2(key) == murmur2_of_the_client(key) & 0xFFFFFFFF


def test_partition_is_the_positive_hash() -> None:
    """The sign bit is cleared, as Java does it, not the absolute value taken."""
    assert [partition_of(org, 12) for org in ("acme", "org_42", "21", "foobar")] == [
        (murmur2(org.encode()) & 0x7FFFFFFF) % 12 for org in ("acme", "org_42", "21", "foobar")
    ]
    assert partition_of("foobar", 1_000) == (-790332482 & 0x7FFFFFFF) % 1_000 == 166
    assert partition_of_key(b"foobar", 1_000) == 166
    assert partition_of_key(None, 12) == 0
