"""Every way a record can be bad, with the reason its dead letter must carry."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.faults.drafts import Draft

Headers = list[tuple[str, bytes]]
DAY_MS = 86_400_000


@dataclass
class Poison:
    """A bad record: its bytes, and what it is rejected for."""

    reason: str
    value: bytes | None
    headers: Headers = field(default_factory=list)
    topic: str | None = None


def document(event: Draft) -> dict[str, Any]:
    """Return the structured form of a draft."""
    return {**event.attributes, "data": event.data}


def _text(document_: dict[str, Any]) -> bytes:
    return json.dumps(document_, ensure_ascii=False).encode()


def _without(*names: str) -> Callable[[Draft, Random], bytes]:
    def build(event: Draft, _: Random) -> bytes:
        return _text({k: v for k, v in document(event).items() if k not in names})

    return build


def _with(**changed: object) -> Callable[[Draft, Random], bytes]:
    return lambda event, _: _text({**document(event), **changed})


def _data(**changed: object) -> Callable[[Draft, Random], bytes]:
    return lambda event, _: _text({**document(event), "data": {**event.data, **changed}})


def _bytes(value: bytes | None) -> Callable[[Draft, Random], bytes | None]:
    return lambda _event, _rng: value


def _around(before: bytes, after: bytes) -> Callable[[Draft, Random], bytes]:
    return lambda event, _: before + _text(document(event)) + after


def _deep(event: Draft, rng: Random) -> bytes:
    nested: Any = "x"
    for _ in range(rng.randrange(33, 60)):
        nested = {"a": nested}
    return _text({**document(event), "data": {**event.data, "later": nested}})


def _number(literal: str) -> Callable[[Draft, Random], bytes]:
    def build(event: Draft, _: Random) -> bytes:
        body = {**document(event), "data": {**event.data, "n": "@@"}}
        return _text(body).replace(b'"@@"', literal.encode())

    return build


def _type(name: str) -> Callable[[Draft, Random], bytes]:
    return _with(type=name)


# A login that is complete and right, for the kinds that break one thing of it.
LOGIN = {"method": "password", "mfa": True}

# (name, reason, how to spoil a draft's bytes)
KINDS: tuple[tuple[str, str, Callable[[Draft, Random], bytes | None]], ...] = (
    ("tombstone", "empty_value", _bytes(None)),
    ("no_bytes", "empty_value", _bytes(b"")),
    ("over_256_kib", "too_large", _data(later="x" * 262_144)),
    ("garbage", "invalid_json", _bytes(b"\x00\x01\x02 not json")),
    ("cut_off", "invalid_json", lambda e, r: _text(document(e))[: r.randrange(2, 60)]),
    ("trailing_bytes", "invalid_json", _around(b"", b"{}")),
    ("byte_order_mark", "invalid_json", _around(b"\xef\xbb\xbf", b"")),
    ("nan", "invalid_json", _number("NaN")),
    ("infinity", "invalid_json", _number("-Infinity")),
    ("overflow", "invalid_json", _number("1e400")),
    ("array", "not_an_object", _bytes(b"[1]")),
    ("string", "not_an_object", _bytes(b'"text"')),
    ("null", "not_an_object", _bytes(b"null")),
    ("too_deep", "too_deep", _deep),
    ("no_specversion", "invalid_envelope", _without("specversion")),
    ("no_type", "invalid_envelope", _without("type")),
    ("no_source", "invalid_envelope", _without("source")),
    ("empty_id", "invalid_envelope", _with(id="")),
    ("long_id", "invalid_envelope", _with(id="i" * 257)),
    ("number_id", "invalid_envelope", _with(id=7)),
    ("control_in_source", "invalid_envelope", _with(source="/hub/\x01identity")),
    ("old_specversion", "unsupported_specversion", _with(specversion="0.3")),
    ("xml_data", "unsupported_content_type", _with(datacontenttype="application/xml")),
    ("base64_data", "unsupported_content_type", _with(data_base64="AAAA")),
    ("unknown_type", "unknown_type", _type("identity.user.teleported.v1")),
    ("later_version", "unsupported_version", _type("identity.login.succeeded.v9")),
    ("no_org", "missing_org", _without("orgid")),
    ("dotted_org", "invalid_org", _with(orgid="acme.eu")),
    ("empty_org", "invalid_org", _with(orgid="")),
    ("number_org", "invalid_org", _with(orgid=42)),
    ("no_time", "missing_time", _without("time")),
    ("epoch_time", "invalid_time", _with(time=1_795_428_000)),
    ("date_only", "invalid_time", _with(time="2026-11-23")),
    ("local_time", "invalid_time", _with(time="3/24/2022 2:42:35 PM")),
    ("thirteenth_month", "invalid_time", _with(time="2026-13-23T10:00:00Z")),
    ("far_future", "in_future", _with(time="2199-01-01T00:00:00Z")),
    ("year_0001", "older_than_retention", _with(time="0001-01-01T00:00:00Z")),
    ("last_decade", "older_than_retention", _with(time="2016-05-05T05:05:05Z")),
    ("no_actor", "missing_actor", _data(actor=None)),
    ("nameless_actor", "missing_actor", _data(actor={"type": "user"})),
    ("alien_actor", "invalid_data", _data(actor={"type": "alien", "id": "a"})),
    ("no_data", "invalid_data", _without("data")),
    ("list_data", "invalid_data", _with(data=[1])),
    ("open_outcome", "invalid_data", _data(outcome="maybe")),
)
BATCH_MODE = "application/cloudevents-batch+json"


def spoil(event: Draft, rng: Random, turn: int) -> tuple[str, Poison]:
    """Return the next bad record: the kinds take turns, so that each of them occurs."""
    extra = ("batch_mode", "binary_not_utf8", "wrong_topic", "failed_success")
    turn %= len(KINDS) + len(extra)
    if turn < len(KINDS):
        name, reason, build = KINDS[turn]
        good = _audited_login(event) if reason in LATE else event
        return name, Poison(reason, build(good, rng))
    name = extra[turn - len(KINDS)]
    login = _audited_login(event)
    if name == "batch_mode":
        body = b"[" + _text(document(event)) + b"]"
        return name, Poison(
            "unsupported_content_type", body, [("content-type", BATCH_MODE.encode())]
        )
    if name == "binary_not_utf8":
        return name, Poison("invalid_envelope", _text(event.data), [("ce_source", b"\xff\xfe")])
    if name == "wrong_topic":
        return name, Poison("wrong_topic", _text(document(login)), topic="raw.billing")
    return name, Poison("invalid_data", _data(outcome="failure")(login, rng))


# Reasons decided after the discard not_audited: reached by an audited type on its own topic.
LATE = {
    "missing_time",
    "invalid_time",
    "in_future",
    "older_than_retention",
    "missing_actor",
    "invalid_data",
}


def _audited_login(event: Draft) -> Draft:
    """Return a right login of the draft's organization, whatever type the draft has."""
    kept = {k: v for k, v in event.data.items() if k in ("actor", "client", "organization")}
    attributes = {**event.attributes, "type": "identity.login.succeeded.v1"}
    return Draft("raw.identity", attributes, {**kept, **LOGIN})
