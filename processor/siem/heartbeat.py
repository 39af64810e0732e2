"""A heartbeat: up to which number a subscriber has now heard of everything."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

ACTION = "hub.heartbeat"
"""In the place of an action, whatever the format."""

LABEL = "Heartbeat"


class Gap(NamedTuple):
    """Numbers that no entry has any more, and why."""

    first_seq: int
    last_seq: int
    reason: str


class Heartbeat(NamedTuple):
    """What a heartbeat says; ``at`` is when, as entries write it, and it may be a replay's."""

    org_id: str
    through_seq: int
    previous_seq: int
    gaps: Sequence[Gap]
    at: str
    replayed: bool = False

    @property
    def number(self) -> str:
        """How far it reaches, behind a word if it is a replay's.

        One that explains gaps has the first one's number, too: those of the same place that
        explain others, or find that nothing has happened since, do not take its place.
        """
        chain = "replay-" if self.replayed else ""
        gap = f"-{self.gaps[0].first_seq}" if self.gaps else ""
        return f"{chain}{self.through_seq}{gap}"

    @property
    def identifier(self) -> str:
        """What it is known by to those who keep one document per id: the newest of its kind."""
        return f"heartbeat-{self.org_id}-{self.number}"

    @property
    def said(self) -> dict[str, Any]:
        """What Hub JSON says of it."""
        return {
            "org_id": self.org_id,
            "at": self.at,
            "through_seq": self.through_seq,
            "previous_seq": self.previous_seq,
            "gaps": [gap._asdict() for gap in self.gaps],
        }

    @property
    def gaps_text(self) -> str:
        """The gaps as compact JSON."""
        return orjson.dumps([gap._asdict() for gap in self.gaps]).decode()


def document(beat: Heartbeat) -> bytes:
    """Return a heartbeat as Hub renders it."""
    return orjson.dumps({"hub_heartbeat": beat.said})
