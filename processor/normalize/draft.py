"""What a type's rules make of an event: the part of an entry that depends on its meaning."""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

from processor.normalize.details import normalized_email
from schemas.entry import Target
from schemas.rejection import Discard, Rejection, Rule

Data: TypeAlias = dict[str, Any]

NAME_CHARACTERS_MAX = 256
EMAIL_CHARACTERS_MAX = 320
NO_CHANGE = Discard(Rule.NO_CHANGE)


class Draft(NamedTuple):
    """The action, its target, and what the details say.

    ``extra`` holds known fields without a place of their own; what is not known is added to it.
    ``session_id`` is set where the event itself is about a session.
    """

    action: str
    target: Target
    old: Data | None = None
    new: Data | None = None
    reason: str | None = None
    role: Data | None = None
    grantee: Data | None = None
    extra: Data | None = None
    session_id: str | None = None


Decision: TypeAlias = Draft | Discard | Rejection


def target_of(kind: str, reference: Mapping[str, Any]) -> Target:
    """Return the target for an object that has an id, and perhaps a name and an e-mail address."""
    target: Target = {"type": kind}
    if reference.get("id"):
        target["id"] = reference["id"]
    if reference.get("name"):
        target["name"] = reference["name"]
    if reference.get("email"):
        target["email"] = normalized_email(reference["email"])
    return target


def present(data: Mapping[str, Any], *names: str) -> Data:
    """Return those of the named members that have a value."""
    return {name: value for name in names if (value := data.get(name)) is not None}


def unknown(reference: Mapping[str, Any], *known: str) -> Data:
    """Return the members of an object that have no place elsewhere."""
    return {name: value for name, value in reference.items() if name not in known}
