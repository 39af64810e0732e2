"""I3, I6: one canonical event per row, right in every byte; nobody in another's records."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

from tests.faults.catalog import ACTIONS, home_lane
from tests.faults.load import marker
from tests.faults.observe import markers_of
from tests.faults.rows import Entry, entry_of, rendered
from tests.faults.verdict import Verdict
from tests.faults.world import Seen, World

MARK = "hub_redelivery"
OPTIONAL_HEADERS = {"ce_dataschema", MARK}
TRACE_HEADERS = {"ce_traceparent", "traceparent"}
MARKER = re.compile(rb"mk[a-p]{14}z")


def canonical(world: World, verdict: Verdict) -> None:
    """Judge every canonical event against the row of its id."""
    published: dict[str, list[Seen]] = defaultdict(list)
    for record in world.canonical:
        published[record.header("ce_id") or ""].append(record)
    for row in world.rows:
        records = published.pop(str(row["entry_id"]), [])
        if not records:
            verdict.wrong("missing_canonical", row["entry_id"])
            continue
        verdict.wrong("dup_canonical", [r.spot for r in records], len(records) - 1)
        entry = entry_of(row)
        for record in records:
            judge_event(world, record, entry, verdict)
    for name, records in published.items():
        verdict.wrong("invented", f"canonical {name} at {records[0].spot}", len(records))


def marks(world: World, verdict: Verdict) -> None:
    """Judge that nothing is marked as a redelivery: on its topics everything can be looked for."""
    for record in (*world.canonical, *world.dead):
        if record.header(MARK) is not None:
            verdict.wrong("unasked_mark", record.spot)


def due_headers(entry: Entry) -> dict[str, str]:
    """Return the headers that a canonical event of the entry must have."""
    target = entry["target"]
    topic = ACTIONS[entry["action"]][0]
    due = {
        "ce_specversion": "1.0",
        "ce_id": entry["entry_id"],
        "ce_source": "/hub/audit",
        "ce_type": topic,
        "ce_time": entry["occurred_at"],
        "ce_partitionkey": entry["org_id"],
        "ce_orgid": entry["org_id"],
        "ce_orgseq": str(entry["seq"]),
        "ce_hubaction": entry["action"],
        "ce_outcome": entry["outcome"],
        "content-type": "application/json",
    }
    if "id" in target:
        due["ce_subject"] = f"{target['type']}/{target['id']}"
    return due


def judge_event(world: World, record: Seen, entry: Entry, verdict: Verdict) -> None:
    """Judge one canonical event of an entry, to the last byte."""
    due = due_headers(entry)
    found = {name: (value or b"").decode() for name, value in record.headers}
    extra = found.keys() - due.keys() - OPTIONAL_HEADERS
    extra -= {name for name in TRACE_HEADERS if entry.get("trace_id", "-") in found.get(name, "")}
    wrong = {name for name in due if found.get(name) != due[name]} | extra
    if len(found) != len(record.headers):
        wrong.add("repeated header")
    if record.topic != world.prefix + due["ce_type"]:
        wrong.add(f"topic {record.topic}")
    if record.partition != home_lane(entry["org_id"], world.lanes):
        wrong.add(f"partition {record.partition}")
    if record.key != entry["org_id"].encode():
        wrong.add(f"key {record.key!r}")
    if wrong:
        verdict.wrong("wrong_canonical", f"{record.spot} {entry['entry_id']}: {sorted(wrong)}")
    if record.value != rendered(entry):
        verdict.wrong("wrong_bytes", f"{record.spot}: {record.value!r} != {rendered(entry)!r}")


def live(world: World, verdict: Verdict) -> None:
    """Compare what a live reader saw during the faults with what stands there now."""
    if not world.live:
        return
    now = {record.spot: record for record in (*world.canonical, *world.dead)}
    times = Counter(record.spot for record in world.live)
    for record in world.live:
        if now.get(record.spot) != record:
            verdict.wrong("vanished", record.spot)
    for spot in now:
        if times[spot] != 1:
            verdict.wrong("unread", f"{spot} seen {times[spot]} times")


def markers(world: World, verdict: Verdict) -> None:
    """Search everything stored and published for markers of somebody else."""
    owner = {marker(org).encode(): org for org in {line["org"] for line in world.ledger.values()}}
    for record in world.canonical:
        one_owner(markers_of(record), record.header("ce_orgid"), owner, record.spot, verdict)
    for row in world.rows:
        one_owner(text_of(row), row["org_id"], owner, row["entry_id"], verdict)
    by_spot = {record.spot: record for record in world.raw}
    for letter in world.dead:
        spot = (
            letter.header("dl_topic"),
            letter.header("dl_partition"),
            letter.header("dl_offset"),
        )
        source = by_spot.get((str(spot[0]), int(spot[1] or -1), int(spot[2] or -1)))
        if source is not None:
            due = set(MARKER.findall(markers_of(source)))
            if not set(MARKER.findall(markers_of(letter))) <= due:
                verdict.wrong("wrong_org", f"dead letter {letter.spot}")


def text_of(row: dict[str, Any]) -> bytes:
    """Return everything of a row in which a marker could stand."""
    return "\0".join(str(value) for value in row.values()).lower().encode()


def one_owner(
    text: bytes, org: str | None, owner: Mapping[bytes, str], where: object, verdict: Verdict
) -> None:
    """Judge that a text of this organization has nobody else's marker."""
    found = {owner.get(token, "nobody") for token in MARKER.findall(text)}
    if found - {org}:
        verdict.wrong("wrong_org", f"{where} of {org} carries the marker of {found}")
