"""Raw records for the tests of decode: one right event, spoiled as a test needs it."""

import json
from typing import Any

from processor.ingest.decode import decode
from schemas.raw.envelope import Event
from schemas.record import RawRecord
from schemas.rejection import Reason, Rejection, Stage

STRUCTURED = ("content-type", b"application/cloudevents+json")
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
ATTRIBUTES = {
    "specversion": "1.0",
    "id": "evt-1",
    "source": "/hub/identity",
    "type": "identity.login.succeeded.v1",
    "time": "2026-11-23T10:00:00Z",
    "orgid": "acme",
}
DATA: dict[str, Any] = {"actor": {"type": "user", "id": "u-1"}, "method": "sso"}

Headers = list[tuple[str, bytes | None]]


def record(
    value: bytes | None, *headers: tuple[str, bytes | None], topic: str = "raw.identity"
) -> RawRecord:
    """Return a record at fixed coordinates."""
    return RawRecord(topic, 3, 41, 1_795_428_000_000, b"acme", value, headers)


def bare(**changed: Any) -> bytes:
    """Return the JSON form of a right event with some members changed; ``...`` takes one out."""
    members = {**ATTRIBUTES, "data": DATA, **changed}
    return json.dumps({k: v for k, v in members.items() if v is not ...}).encode()


def event_of(value: bytes | None, *headers: tuple[str, bytes | None]) -> Event:
    """Decode a record that must pass."""
    decoded = decode(record(value, *headers), "raw.redrive")
    assert isinstance(decoded, Event), decoded
    return decoded


def reason_of(value: bytes | None, *headers: tuple[str, bytes | None]) -> Reason:
    """Decode a record that must be rejected, at this stage and with a detail in plain ASCII."""
    decoded = decode(record(value, *headers), "raw.redrive")
    assert isinstance(decoded, Rejection), decoded
    assert decoded.stage is Stage.DECODE
    assert decoded.detail.isprintable()
    return decoded.reason


def binary(**changed: str) -> Headers:
    """Return the headers of a right event in binary mode."""
    return [(f"ce_{name}", text.encode()) for name, text in {**ATTRIBUTES, **changed}.items()]


def deep(levels: int, *, inner: bytes = b"1") -> bytes:
    """Return a right event whose deepest container stands at ``levels``, the root being 1."""
    nested = b'{"a":' * (levels - 2) + inner + b"}" * (levels - 2)
    return bare(data="@").replace(b'"@"', b'{"actor":{},"x":' + nested + b"}", 1)
