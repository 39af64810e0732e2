"""A signal: what the rules of Defend need to know of an entry or of an endpoint's alert."""

from functools import cache
from typing import NamedTuple


class Signal(NamedTuple):
    """Something that happened, in the order in which it happened; a text that is absent is empty.

    ``actor`` and ``account`` are e-mail addresses where those are known; ``thing`` is the target
    with the grantee or role that it is about.
    """

    at_ms: int
    id: str
    seq: int
    action: str
    actor: str
    actor_type: str
    account: str
    address: str
    thing: str
    marks: frozenset[str]


@cache
def marks_of(outcome: str, *, new_device: bool, mfa: bool, given: bool) -> frozenset[str]:
    """Return a signal's marks; ``given`` is whether there are permissions that were not before."""
    named = {"new_device": new_device, "mfa": mfa, "given": given}
    return frozenset((outcome, *(name for name, marked in named.items() if marked)))
