"""What the judge of a soak keeps of a line, a row or a canonical event: all that takes long.

It needs nothing but the record itself, so that several processes can do it at once.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from tests.faults import judge_topics
from tests.faults.compact import (
    Due,
    digest,
    digest_of_event,
    digest_of_record,
    sha_of_text,
    source_of,
)
from tests.faults.drafts import entry_id
from tests.faults.ledger import Line, template_of
from tests.faults.observe import markers_of
from tests.faults.rows import entry_of, milliseconds, rendered
from tests.faults.verdict import Verdict
from tests.faults.world import Place, Seen, Spot, World


class Acked(NamedTuple):
    """Number, partition and offset of records that the bus has accepted."""

    positions: list[list[int]]


def line(said: dict[str, Any]) -> Acked | Due:
    """Return what is kept of a line of the ledger."""
    if "acked" in said:
        return Acked(said["acked"])
    known: Line = said  # type: ignore[assignment] # as it was written
    named = known.get("identity")
    return Due(
        known["n"],
        known["end"],
        known["topic"],
        known["org"],
        known["kind"],
        known.get("reason", ""),
        known.get("content", 0),
        known.get("again", known["n"]),
        digest_of_event(template_of(known)) if "template" in known else 0,
        digest(entry_id(*named)) if named is not None else 0,
    )


class Row(NamedTuple):
    """A row; ``value`` is a digest of the canonical event that it must be told in."""

    org: str
    seq: int
    place: Place
    offset: int
    value: int
    event: int
    entry_id: int
    sha: int
    occurred_ms: int
    recorded_ms: int
    normalizer: bool
    wrong: Verdict


def row(owner: Mapping[bytes, str], found: dict[str, Any]) -> Row:
    """Return what is kept of a row, ``owner`` being whose marker is which."""
    wrong = Verdict()
    entry = entry_of(found)
    org, seq = entry["org_id"], entry["seq"]
    judge_topics.one_owner(judge_topics.text_of(found), org, owner, f"{org} {seq}", wrong)
    return Row(
        org,
        seq,
        *source_of(found),
        digest(rendered(entry)),
        digest_of_event(entry),
        digest(entry["entry_id"]),
        sha_of_text(entry["raw_sha256"]),
        milliseconds(found["occurred_at"]),
        milliseconds(found["recorded_at"]),
        bool(entry["normalizer"]),
        wrong,
    )


class Told(NamedTuple):
    """A published record: a canonical event by the digest of its value, a dead letter as it is."""

    spot: Spot
    digest: int
    marked: bool
    org: str
    seq: int
    value: int
    letter: Seen | None
    wrong: Verdict


def told(frame: World, owner: Mapping[bytes, str], dead_topic: str, record: Seen) -> Told:
    """Return what is kept of a published record; a canonical event is judged by itself."""
    wrong = Verdict()
    marked = record.header(judge_topics.MARK) is not None
    sum_ = digest_of_record(record)
    if record.topic == dead_topic:
        return Told(record.spot, sum_, marked, "", 0, 0, record, wrong)
    named = record.header("ce_orgid") or ""
    judge_topics.one_owner(markers_of(record), named, owner, record.spot, wrong)
    entry = json.loads(record.value or b"{}")
    judge_topics.judge_event(frame, record, entry, wrong)
    value = digest(record.value)
    return Told(record.spot, sum_, marked, entry["org_id"], entry["seq"], value, None, wrong)
