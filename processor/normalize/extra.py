"""``details.extra``: what an event says beyond the fields that have a place of their own."""

from typing import Any

from processor.normalize.draft import Data
from processor.normalize.event_types import EventType, Members

_COMMON: dict[str, Members] = {
    "actor": frozenset({"type", "id", "email", "name", "on_behalf_of"}),
    "client": frozenset({"ip", "user_agent", "session_id", "request_id"}),
    "organization": frozenset({"name"}),
}
_ON_BEHALF_OF = frozenset({"id", "email"})


def extra_of(event_type: EventType, data: Data) -> dict[str, Any]:
    """Return known fields without a place of their own, then unknown ones, also those of objects.

    Those of an object stand under its name.
    """
    fields = event_type.fields
    extra = {name: data[name] for name in event_type.extra if data.get(name) is not None}
    if not fields.issuperset(data):
        extra |= {k: v for k, v in data.items() if k not in fields and v is not None}
    for objects in (_COMMON, event_type.objects):
        for name, members in objects.items():
            part = data.get(name)
            if part and (beyond := _beyond(part, members)):
                extra[name] = beyond
    other = data["actor"].get("on_behalf_of")
    if other and (beyond := _beyond(other, _ON_BEHALF_OF)):
        extra["actor"] = {**extra.get("actor", {}), "on_behalf_of": beyond}
    return extra


def _beyond(part: Data, members: Members) -> Data | None:
    """Return the members of an object that have no place elsewhere.

    A name is taken where it is a text, even where the contract does not speak of one.
    """
    if members.issuperset(part) and part.get("name", "").__class__ is str:
        return None
    return {
        name: value
        for name, value in part.items()
        if value is not None
        and (name not in members or (name == "name" and value.__class__ is not str))
    }
