"""Records that cannot pass, so that the demo shows dead letters with their reasons."""

from collections.abc import Callable
from typing import Any

import orjson

Event = dict[str, Any]
Spoiled = tuple[bytes | None, list[tuple[str, bytes]]]


def torn(event: Event) -> Spoiled:
    """Cut the JSON in the middle, as a crashed writer does: ``invalid_json``."""
    value = orjson.dumps(event)
    return value[: len(value) // 2], []


def tombstone(_event: Event) -> Spoiled:
    """Send no value at all: ``empty_value``."""
    return None, []


def list_of_events(event: Event) -> Spoiled:
    """Send a list where one event belongs: ``not_an_object``."""
    return orjson.dumps([event]), []


def batch_mode(event: Event) -> Spoiled:
    """Use the content mode that is not accepted: ``unsupported_content_type``."""
    headers = [("content-type", b"application/cloudevents-batch+json")]
    return orjson.dumps([event]), headers


def too_deep(event: Event) -> Spoiled:
    """Nest an object deeper than anything honest: ``too_deep``."""
    value = orjson.dumps(event | {"data": "deep"})
    return value.replace(b'"deep"', b'{"a":' * 40 + b"1" + b"}" * 40), []


def next_version(event: Event) -> Spoiled:
    """Come a version too early: ``unsupported_version``."""
    return bare(event | {"type": event["type"].removesuffix("v1") + "v9"})


def unheard_of(event: Event) -> Spoiled:
    """Use a type nobody knows yet: ``unknown_type``."""
    return bare(event | {"type": "identity.mind.changed.v1"})


def nobodys(event: Event) -> Spoiled:
    """Forget the organization: ``missing_org``."""
    return bare({name: value for name, value in event.items() if name != "orgid"})


def dotted(event: Event) -> Spoiled:
    """Name an organization as none may be named: ``invalid_org``."""
    return bare(event | {"orgid": event["orgid"] + ".eu"})


def epoch_seconds(event: Event) -> Spoiled:
    """Write the time as seconds: ``invalid_time``."""
    return bare(event | {"time": "1767225600"})


def years_ago(event: Event) -> Spoiled:
    """Come too late: ``older_than_retention``."""
    return bare(event | {"time": "2019-06-01T12:00:00Z"})


def bare(event: Event) -> Spoiled:
    """Send the event as plain JSON."""
    return orjson.dumps(event), []


def by_nobody(event: Event) -> Spoiled:
    """Forget who did it: ``missing_actor``, or a discard where the type is not audited."""
    return bare(event | {"data": {**event["data"], "actor": None}})


POISON: tuple[Callable[[Event], Spoiled], ...] = (
    torn,
    tombstone,
    list_of_events,
    batch_mode,
    too_deep,
    next_version,
    unheard_of,
    nobodys,
    dotted,
    epoch_seconds,
    years_ago,
    by_nobody,
)
