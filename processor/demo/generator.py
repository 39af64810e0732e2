"""The demo's upstream services: what they publish, as a pure function of a seed and of times.

The same seed and times give the same bytes, so that a benchmark or a fault test can be repeated;
this module neither reads a clock nor speaks to the bus.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any, NamedTuple

import orjson

from processor.demo.events import KINDS, Kind
from processor.demo.poison import POISON
from processor.demo.world import Organization, Person, organizations

STRUCTURED = ("content-type", b"application/cloudevents+json; charset=utf-8")
# In binary mode the data are the value, and their type has a header of its own.
NO_HEADERS = ("data", "datacontenttype")
# How many of the newest publications a service may send once more.
RESENDABLE = 64


class Mix(NamedTuple):
    """What the traffic is made of; shares of all records."""

    organizations: int = 24
    known: tuple[Organization, ...] = ()
    duplicates: float = 0.01
    poison: float = 0.005


class Publication(NamedTuple):
    """One record as an upstream service hands it to its Kafka client."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


def traffic(seed: int, times: Iterable[int], mix: Mix = Mix()) -> Iterator[Publication]:  # noqa: B008
    """Yield one publication for each time, in milliseconds since 1970."""
    chance = Random(seed)
    world = [*organizations(chance, mix.organizations), *mix.known]
    busy = [each.weight for each in world]
    often = [kind.weight for kind in KINDS]
    sent: deque[tuple[Kind, dict[str, Any]]] = deque(maxlen=RESENDABLE)
    for at_ms in times:
        dice = chance.random()
        if sent and dice < mix.duplicates:
            yield resend(chance, *chance.choice(sent))
            continue
        org = chance.choices(world, busy)[0]
        kind = chance.choices(KINDS, often)[0]
        event = draw(chance, org, kind, at_ms)
        if dice > 1 - mix.poison:
            yield Publication(kind.topic, org.id.encode(), *chance.choice(POISON)(event))
            continue
        sent.append((kind, event))
        yield publish(kind, event)


def draw(chance: Random, org: Organization, kind: Kind, at_ms: int) -> dict[str, Any]:
    """Draw one whole event in its structured form."""
    who = chance.choice(org.people)
    event = {
        "specversion": "1.0",
        "id": f"{chance.getrandbits(96):024x}",
        "source": f"/hub/{kind.topic.removeprefix('raw.')}",
        "type": kind.type,
        "time": timestamp(at_ms),
        "orgid": org.id,
        "datacontenttype": "application/json",
    }
    if chance.random() < 1 / 2:
        event["traceparent"] = f"00-{chance.getrandbits(128):032x}-{chance.getrandbits(64):016x}-01"
    return event | {"data": shared(chance, org, who) | kind.draw(chance, org, who)}


def shared(chance: Random, org: Organization, who: Person) -> dict[str, Any]:
    """Draw the part of the data that all types have in common."""
    number = chance.getrandbits(48)
    client = {
        "ip": who.ip,
        "user_agent": who.user_agent,
        "session_id": f"ses-{who.id}-{number & 0xFFFF:04x}",
        "request_id": f"req-{number:012x}",
    }
    data: dict[str, Any] = {"actor": actor(chance, who), "client": client}
    if chance.random() < 1 / 3:
        data["organization"] = {"name": org.name}
    if chance.random() < 1 / 8:
        data["correlation_id"] = f"cor-{number >> 8:010x}"
    return data


def actor(chance: Random, who: Person) -> dict[str, Any]:
    """Draw who acts: mostly the user, now and then a service or our support on their behalf."""
    dice = chance.random()
    if dice < 1 / 25:
        return {"type": "service", "id": "svc-provisioning", "name": "Provisioning"}
    if dice < 1 / 20:
        behalf = {"id": who.id, "email": who.email}
        return {"type": "support", "id": "sup-7", "name": "Hub Support", "on_behalf_of": behalf}
    return {"type": "user", "id": who.id, "email": who.email, "name": who.name}


def resend(chance: Random, kind: Kind, event: dict[str, Any]) -> Publication:
    """Return an event once more; one in ten tells something else under the same identity."""
    if chance.random() < 1 / 10:
        client = event["data"]["client"] | {"request_id": "req-of-another-fact"}
        event = event | {"data": event["data"] | {"client": client}}
    return publish(kind, event)


def publish(kind: Kind, event: dict[str, Any]) -> Publication:
    """Return the record: identity speaks structured, permission binary, billing bare JSON."""
    key = event["orgid"].encode()
    if kind.topic == "raw.permission":
        headers = [(f"ce_{name}", event[name].encode()) for name in event if name not in NO_HEADERS]
        headers.append(("content-type", event["datacontenttype"].encode()))
        return Publication(kind.topic, key, orjson.dumps(event["data"]), headers)
    headers = [STRUCTURED] if kind.topic == "raw.identity" else []
    return Publication(kind.topic, key, orjson.dumps(event), headers)


def timestamp(at_ms: int) -> str:
    """Return a time as services write it."""
    moment = datetime.fromtimestamp(at_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at_ms % 1000:03d}Z"
