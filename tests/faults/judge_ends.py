"""I1, I2: every raw record came to exactly one end, the one it must have; the books balance."""

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.faults.drafts import entry_id, rfc3339_ms
from tests.faults.ledger import Line, template_of
from tests.faults.rows import Entry, entry_of, milliseconds, spot_of
from tests.faults.verdict import Verdict
from tests.faults.world import Place, Seen, Spot, World

FATES = ("entries", "duplicates", "discards", "dead_letters")


@dataclass
class Group:
    """All records of one identity."""

    members: list[tuple[Seen, Line]] = field(default_factory=list)


def number_of(record: Seen) -> int:
    """Return the ledger's number, which every raw record carries as a header."""
    return int(record.header("ledger") or -1)


def fates(world: World, verdict: Verdict) -> dict[Spot, str]:
    """Return how each visible raw record ended; report those that ended otherwise than due."""
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in world.rows:
        rows[str(row["entry_id"])].append(row)
    dead = {spot_of_dead(row): row for row in world.dead_rows}
    ended: dict[Spot, str] = {}
    groups: dict[str, Group] = defaultdict(Group)
    for record in world.raw:
        line = world.ledger[number_of(record)]
        if line["end"] == "entry":
            groups[identity_of(record, line)].members.append((record, line))
        else:
            ended[record.spot] = _alone(record, line, dead, verdict)
    for name, group in groups.items():
        _judge_group(name, group, rows.pop(name, []), dead, ended, verdict)
    for leftover in rows.values():
        verdict.wrong("invented", f"row {leftover[0]['entry_id']}", len(leftover))
    visible = {record.spot for record in world.raw}
    for spot in dead.keys() - visible:
        verdict.wrong("invented", f"dead letter of {spot}")
    _bus(world, verdict)
    return ended


def spot_of_dead(row: dict[str, Any]) -> Spot:
    """Return the coordinates of a row of the dead letters."""
    return row["topic"], row["partition"], row["offset"]


def identity_of(record: Seen, line: Line) -> str:
    """Return the entry id which the record's identity demands."""
    named = line.get("identity")
    if named is not None:
        org, source, name, occurred_ms = named
        return entry_id(org, source, name, occurred_ms)
    template = template_of(line)
    topic_and_spot = record.topic, f"{record.partition}:{record.offset}"
    return entry_id(line["org"], *topic_and_spot, _occurred_ms(template))


def _occurred_ms(template: Entry) -> int:
    return milliseconds(datetime.fromisoformat(template["occurred_at"]))


def _alone(record: Seen, line: Line, dead: dict[Spot, dict[str, Any]], verdict: Verdict) -> str:
    """Judge a record that must not become a row."""
    letter = dead.get(record.spot)
    if line["end"] == "aborted":
        verdict.wrong("bus_lost", f"aborted record {line['n']} is visible")
    if line["end"] == "discard":
        if letter is not None:
            verdict.wrong("unexplained_dead", f"{line['kind']} {record.spot} {_why(letter)}")
        return "discards"
    if letter is None:
        verdict.wrong("missing_dead", f"{line['kind']} {line.get('reason')} {record.spot}")
    elif letter["reason"] != line["reason"]:
        verdict.wrong("wrong_dead", f"{line['kind']} {record.spot}: {_why(letter)}")
    return "dead_letters"


def _why(letter: dict[str, Any]) -> str:
    return f"{letter['stage']}/{letter['reason']} {letter['detail']}"


def _judge_group(
    name: str,
    group: Group,
    rows: list[dict[str, Any]],
    dead: dict[Spot, dict[str, Any]],
    ended: dict[Spot, str],
    verdict: Verdict,
) -> None:
    """Judge the records of one identity: one row, equal ones suppressed, others conflicts."""
    spots = {record.spot: (record, line) for record, line in group.members}
    if len(rows) > 1:
        verdict.wrong("dup_rows", name, len(rows) - 1)
    won = next((spot_of(row) for row in rows if spot_of(row) in spots), None)
    if won is None:
        record, line = group.members[0]
        verdict.wrong("lost", f"{name}: {line['kind']} {record.spot} {dead.get(record.spot)}")
        if rows:
            verdict.wrong("invented", f"row {name} of {spot_of(rows[0])}")
        won = record.spot
    winner, won_line = spots[won]
    for row in rows:
        _judge_entry(row, winner, won_line, verdict)
    for record, line in group.members:
        ended[record.spot] = _member(record, line, won_line, won, dead, verdict)


def _member(
    record: Seen,
    line: Line,
    won_line: Line,
    won: Spot,
    dead: dict[Spot, dict[str, Any]],
    verdict: Verdict,
) -> str:
    letter = dead.get(record.spot)
    if record.spot[:2] == won[:2] and record.offset < won[2]:
        verdict.wrong("wrong_winner", f"{won} over {record.spot}")
    if line.get("content") != won_line.get("content"):
        if letter is None:
            verdict.wrong("missing_dead", f"{line['kind']} {record.spot} against {won}")
        elif letter["reason"] != "id_conflict":
            verdict.wrong("wrong_dead", f"{line['kind']} {record.spot}: {_why(letter)}")
        return "dead_letters"
    if letter is not None:
        verdict.wrong("unexplained_dead", f"{line['kind']} {record.spot}: {_why(letter)}")
    return "entries" if record.spot == won else "duplicates"


def _judge_entry(row: dict[str, Any], record: Seen, line: Line, verdict: Verdict) -> None:
    """Compare a row with what its raw record must become, to the last field."""
    due = due_entry(record, line)
    found = entry_of(row)
    if not found.pop("normalizer", "") or not isinstance(found.pop("seq"), int):
        verdict.wrong("wrong_entry", f"{due['entry_id']} without normalizer or seq")
    if plain(found) != plain(due):
        differing = [k for k in {**due, **found} if plain(due).get(k) != plain(found).get(k)]
        said = {k: (due.get(k), found.get(k)) for k in differing}
        verdict.wrong("wrong_entry", f"{line['kind']} {record.spot} (due, found): {said}")


def due_entry(record: Seen, line: Line) -> Entry:
    """Return the entry the record must become, but for seq and normalizer."""
    template = template_of(line)
    coordinates = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
    return {
        **template,
        "entry_id": identity_of(record, line),
        "recorded_at": rfc3339_ms(record.timestamp),
        "source": {**template["source"], **coordinates},
        "raw_sha256": hashlib.sha256(record.value or b"").hexdigest(),
    }


def plain(entry: Entry) -> Entry:
    """Return the entry for comparison: a side of a change that has nothing may be absent."""
    details = {
        side: {k: v for k, v in value.items() if v not in ([], None)}
        if side in ("old", "new")
        else value
        for side, value in entry["details"].items()
    }
    return {**entry, "details": {k: v for k, v in details.items() if v not in ({}, None)}}


def books(world: World, ended: dict[Spot, str], verdict: Verdict) -> None:
    """Recount every partition's books."""
    due: dict[Place, dict[str, int]] = defaultdict(lambda: dict.fromkeys(FATES, 0))
    last: dict[Place, int] = {}
    for (topic, partition, offset), fate in ended.items():
        due[topic, partition][fate] += 1
        last[topic, partition] = max(last.get((topic, partition), -1), offset)
    balance(world, due, last, verdict)


def balance(
    world: World, due: Mapping[Place, dict[str, int]], last: Mapping[Place, int], verdict: Verdict
) -> None:
    """Compare every partition's books with what is due and with where its last record stands."""
    kept = {(row["topic"], row["partition"]): row for row in world.books}
    for place in due.keys() | kept.keys():
        row = kept.get(place)
        if row is None:
            verdict.wrong("books", f"{place} has no books, due {due[place]}")
            continue
        through, first = row["stored_through"], row["first_offset"]
        figures = {fate: row[fate] for fate in FATES}
        holes = through - first - sum(due[place].values())
        if figures != due[place] or row["offset_holes"] != holes:
            verdict.wrong("books", f"{place}: {row}, due {due[place]} and {holes} holes")
        if through <= last.get(place, -1) or through > world.ends[place].stable:
            verdict.wrong("books", f"{place} stands at {through}, last record {last.get(place)}")


def _bus(world: World, verdict: Verdict) -> None:
    """Check the bus itself: what it acknowledged is there, each record once."""
    found: dict[int, set[Spot]] = defaultdict(set)
    for record in world.raw:
        found[number_of(record)].add(record.spot)
    for number, (partition, offset) in world.acked.items():
        line = world.ledger[number]
        if (world.prefix + line["topic"], partition, offset) not in found[number]:
            verdict.wrong("bus_lost", f"record {number} at {partition}:{offset}")
