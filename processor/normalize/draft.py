"""What a type's rules make of an event: the part of an entry that depends on its meaning."""

from collections.abc import Mapping
from typing import Any, NamedTuple, TypeAlias

from processor.normalize.details import normalized_email
from schemas.entry import Target
from schemas.rejection import Discard, Rejection, Rule

Data: TypeAlias = dict[str, Any]

Places: TypeAlias = Mapping[str, str]
"""Where the parts of an entry stand in the raw event: what is cut is listed by where it was."""

NO_CHANGE = Discard(Rule.NO_CHANGE)


class Draft(NamedTuple):
    """The action, its target, and what the details say.

    ``places`` are those of the target, of ``old`` and of ``new``. ``session_id`` is set where the
    event itself is about a session; where it is empty, about one that it does not name.
    """

    action: str
    target: Target
    places: Places
    old: Data | None = None
    new: Data | None = None
    reason: str | None = None
    role: Data | None = None
    grantee: Data | None = None
    session_id: str | None = None


Decision: TypeAlias = Draft | Discard | Rejection


def target_of(kind: str, reference: Data) -> Target:
    """Return the target for an object that has an id, and perhaps a name and an e-mail address."""
    target: Target = {"type": kind}
    if text := reference.get("id"):
        target["id"] = text
    if (text := reference.get("name")) and text.__class__ is str:
        target["name"] = text
    if (text := reference.get("email")) and (email := normalized_email(text)):
        target["email"] = email
    return target


def present(data: Data, *names: str) -> Data:
    """Return those of the named members that have a value."""
    return {name: value for name in names if (value := data.get(name)) is not None}
