"""What the SIEMs of a run were told: each subscription's topic, reduced to what is judged.

Written from the contract alone; nothing here comes from the product.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from tests.faults import reader
from tests.faults.judge_topics import MARKER
from tests.faults.observe import markers_of
from tests.faults.rows import Entry, rendered
from tests.faults.world import Seen, Siem, Told

EXTERNAL_ID = re.compile(rb" externalId=(\S+) cn1=(\d+) cn1Label=Sequence act=(\S+) .* cs1=(\S+) ")


def told(bootstrap: str, topic: str, form: str) -> Iterator[Told]:
    """Yield what a read_committed reader of a subscription's topic is told, in its order."""
    for record in reader.each(bootstrap, [(topic, 0)]):
        yield reduced(record, form)


def reduced(record: Seen, form: str) -> Told:
    """Return what is judged of a record."""
    kind = "live"
    if (replay := record.header("hub_replay")) is not None:
        kind = f"replay {replay}"
    elif (test := record.header("hub_test")) is not None:
        kind = f"test {test}"
    seq = record.header("hub_seq")
    return Told(
        kind,
        None if seq is None else int(seq),
        int(record.header("hub_previous_seq") or -1),
        int(record.header("hub_through_seq") or -1),
        record.header("hub_entry_id"),
        0 if seq is None else digest(CONTENTS[form](record.value or b"")),
        record.offset,
        frozenset(MARKER.findall(markers_of(record))),
    )


def due_content(entry: Entry, form: str) -> int:
    """Return the digest of what a record of an entry has to carry."""
    if form == "cef":
        names = ("entry_id", "seq", "action", "org_id")
        return digest(" ".join(str(entry[name]) for name in names).encode())
    return digest(rendered(entry))


def due(entry: Entry, subscription: Siem) -> bool:
    """Tell whether a subscription's filter lets an entry pass: all its conditions do."""
    wanted = subscription.wanted
    return entry["severity"] >= wanted.get("severity_min", 0) and all(
        entry[name] in wanted.get(several, (entry[name],))
        for name, several in (
            ("action", "actions"),
            ("category", "categories"),
            ("outcome", "outcomes"),
        )
    )


def digest(content: bytes) -> int:
    """Return a number that stands for a content."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big")


def _dumped(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _of_cef(value: bytes) -> bytes:
    """Return the fields by which an entry is known, which all stand in the line in this order."""
    found = EXTERNAL_ID.search(value)
    return b" ".join(found.groups()) if found else b""


CONTENTS: dict[str, Callable[[bytes], bytes]] = {
    "hub": lambda value: value,
    "ocsf": lambda value: _dumped(json.loads(value)["unmapped"]),
    "ecs": lambda value: str(json.loads(value)["event"]["original"]).encode(),
    "cef": _of_cef,
}
"""By format how the entry, or what of it the format has, is taken out of a record."""
