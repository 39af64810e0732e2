"""An entry as the formats read it: who is concerned, which row of the catalogue speaks of it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from schemas import catalogue
from schemas.catalogue import CATALOGUE, Action
from schemas.entry import Entry

Party = Mapping[str, Any]

_ENDED_BY_ANOTHER = frozenset({"admin_logout", "revoked"})
"""Why a session ended that somebody took away from whose it was."""

_OF_NO_ACCOUNT = frozenset({"billing", "audit"})
_OF_USERS_ALONE = frozenset({"users", "roles", "permissions"})


class Reading(NamedTuple):
    """An entry with what follows from it.

    ``account`` is the user that it is about: the target if that is a user, of a product the one who
    got or lost it, of a session the user who ended it or let it run out. It is None where no user
    is concerned, or nobody tells which: who ends another's session, be it an administrator, support
    or a service, is not the one who is logged out.
    """

    entry: Entry
    row: Action
    mapping: catalogue.Mapping
    account: Party | None

    @property
    def failed(self) -> bool:
        """Tell whether what was tried did not happen."""
        return self.entry["outcome"] == "failure"

    @property
    def of_another(self) -> bool:
        """Tell whether somebody else than the actor is logged out."""
        return self.account is None and self.row.category == "authentication"

    @property
    def reason(self) -> str | None:
        """Why it failed, or why it happened."""
        return self.entry.get("outcome_reason") or self.entry["details"].get("reason")

    def detail(self, name: str, key: str) -> Any:
        """Return a key of one of the objects in ``details``, None where either is missing."""
        held = self.entry["details"].get(name)
        return held.get(key) if isinstance(held, dict) else None

    def text(self, name: str) -> str | None:
        """Return one of the objects in ``details`` as compact JSON."""
        held = self.entry["details"].get(name)
        return orjson.dumps(held).decode() if held else None

    def names(self, name: str, key: str) -> list[str]:
        """Return a list of texts out of one of the objects in ``details``."""
        held = self.detail(name, key)
        return [str(each) for each in held] if isinstance(held, list) else []


def read(entry: Entry) -> Reading:
    """Return an entry with what follows from it."""
    row = CATALOGUE[entry["action"]]
    holder: Party = entry["target"]
    if row.category == "product_access":
        holder = entry["details"].get("grantee") or {"type": "user"}
    elif row.category == "authentication" and holder["type"] != "user":
        holder = entry["actor"]
    kind = holder.get("type", "user")
    account = None if kind == "role" or row.category in _OF_NO_ACCOUNT else holder
    if row.category in _OF_USERS_ALONE and kind != "user":
        account = None
    if holder is entry["actor"] and not _ended_own_session(entry):
        account = None
    return Reading(entry, row, row.mapping_of(kind), account)


def _ended_own_session(entry: Entry) -> bool:
    """Tell whether the actor of a session's end is the one whose session it was."""
    reason = entry["details"].get("reason")
    return entry["actor"]["type"] == "user" and reason not in _ENDED_BY_ANOTHER
