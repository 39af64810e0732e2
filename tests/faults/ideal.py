"""A small world in which everything is right, computed without any service.

It is what the oracle must find nothing in, and what its self-test plants bugs into. The raw
records are those of the load generator, put on partitions as the bus would.
"""

import base64
import ipaddress
import json
from collections import defaultdict
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from uuid import UUID

from tests.faults.catalog import ACTIONS, CANONICAL_TOPICS, DEAD_LETTERS, RAW_TOPICS, home_lane
from tests.faults.judge_ends import due_entry, identity_of
from tests.faults.judge_topics import due_headers
from tests.faults.load import Generator, Mix, Shot, marker
from tests.faults.rows import PLAIN, Entry, entry_of, rendered
from tests.faults.siem import due, due_content
from tests.faults.world import Due, Ends, Finding, Findings, Place, Seen, Siem, Told, World

NOW_MS = 1_795_428_000_000
PREFIX = "ideal."


def ideal_world(count: int = 600, seed: int = 1, attacks: float = 0.0) -> World:
    """Return the world after a perfect processor has taken so many records."""
    mix = Mix(
        seed=seed,
        now_ms=NOW_MS,
        strays=0.0,
        repeats=0.15,
        conflicts=0.05,
        poison=0.1,
        attacks=attacks,
    )
    world = World(PREFIX, mix.lanes, {}, [], [], [], {}, {}, [], [], [], {}, [])
    for shot in islice(Generator(mix).shots(), count):
        world.ledger[shot.line["n"]] = shot.line
        _land(world, shot)
    _process(world)
    _forward(world)
    _find(world)
    world.live = [*world.canonical, *world.dead]
    return world


def _land(world: World, shot: Shot) -> None:
    """Put a record where the bus would."""
    topic = PREFIX + shot.line["topic"]
    partition = home_lane(shot.line["org"], world.lanes)
    offset = sum(1 for r in world.raw if r.spot[:2] == (topic, partition))
    at_ms = NOW_MS + len(world.raw)
    record = Seen(topic, partition, offset, at_ms, shot.key, shot.value, [*shot.headers])
    world.raw.append(record)
    world.acked[shot.line["n"]] = (partition, offset)


def _process(world: World) -> None:
    """Take every record to its end, in the order of the bus."""
    seqs: dict[str, int] = defaultdict(int)
    winners: dict[str, int] = {}
    figures: dict[Place, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for record in world.raw:
        line = world.ledger[int(record.header("ledger") or 0)]
        kept = figures[record.spot[:2]]
        if line["end"] == "discard":
            kept["discards"] += 1
            continue
        if line["end"] == "dead_letter":
            kept["dead_letters"] += 1
            _die(world, record, "decode", line["reason"])
            continue
        name = identity_of(record, line)
        if name not in winners:
            winners[name] = line["content"]
            seqs[line["org"]] += 1
            kept["entries"] += 1
            _store(world, {**due_entry(record, line), "seq": seqs[line["org"]], "normalizer": "1"})
        elif winners[name] == line["content"]:
            kept["duplicates"] += 1
        else:
            kept["dead_letters"] += 1
            _die(world, record, "store", "id_conflict")
    world.heads = dict(seqs)
    _settle(world, figures)


def _die(world: World, record: Seen, stage: str, reason: str) -> None:
    headers = [
        [name, None if value is None else base64.b64encode(value).decode()]
        for name, value in record.headers
    ]
    row = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "recorded_at": _moment(record.timestamp),
        "stage": stage,
        "reason": reason,
        "detail": "",
        "key": record.key,
        "raw": record.value,
        "headers": headers,
        "org_id": None,
        "redriven_at": None,
    }
    world.dead_rows.append(row)
    said = {
        "dl_stage": stage,
        "dl_reason": reason,
        "dl_detail": "",
        "dl_topic": record.topic,
        "dl_partition": str(record.partition),
        "dl_offset": str(record.offset),
        "dl_timestamp": str(record.timestamp),
    }
    more = [(name, value.encode()) for name, value in said.items()]
    place = (PREFIX + DEAD_LETTERS, record.partition)
    offset = sum(1 for letter in world.dead if letter.spot[:2] == place)
    world.dead.append(
        Seen(*place, offset, NOW_MS, record.key, record.value, [*record.headers, *more])
    )


def _store(world: World, entry: Entry) -> None:
    """Add the row of an entry, and its canonical event."""
    source, actor, target = entry["source"], entry["actor"], entry["target"]
    address = entry.get("ip")
    row: dict[str, Any] = {
        **{k: entry[k] for k in ("seq", "org_id", "category", "action", "outcome", "severity")},
        **{k: entry.get(k) for k in ("session_id", "request_id", "correlation_id")},
        "entry_id": UUID(entry["entry_id"]),
        "occurred_at": datetime.fromisoformat(entry["occurred_at"]),
        "recorded_at": datetime.fromisoformat(entry["recorded_at"]),
        "source_topic": source["topic"],
        "source_partition": source["partition"],
        "source_offset": source["offset"],
        "actor_type": actor["type"],
        "actor_id": actor.get("id"),
        "actor_email": actor.get("email"),
        "target_type": target["type"],
        "target_id": target.get("id"),
        "ip": None if address is None else ipaddress.ip_address(address),
        "details": json.dumps(entry["details"]),
        "context": {
            **{k: entry[k] for k in PLAIN if k in entry},
            **{k: entry[k] for k in ("schema_version", "normalizer", "raw_sha256")},
            "occurred_at_quality": entry["occurred_at_quality"],
            **{
                k: source[k]
                for k in ("service", "event_type", "event_version", "event_id")
                if k in source
            },
            **{f"actor_{k}": actor[k] for k in ("name",) if k in actor},
            **{f"target_{k}": target[k] for k in ("name", "email") if k in target},
        },
    }
    world.rows.append(row)
    due = entry_of(row)
    place = (PREFIX + ACTIONS[due["action"]][0], home_lane(due["org_id"], world.lanes))
    offset = sum(1 for event in world.canonical if event.spot[:2] == place)
    headers = [(name, value.encode()) for name, value in due_headers(due).items()]
    key = due["org_id"].encode()
    world.canonical.append(Seen(*place, offset, NOW_MS, key, rendered(due), [*headers]))


def _settle(world: World, figures: dict[Place, dict[str, int]]) -> None:
    """Write the books, the lanes and the group's offsets."""
    for topic in (*RAW_TOPICS, *CANONICAL_TOPICS, DEAD_LETTERS):
        for lane in range(world.lanes):
            place = (PREFIX + topic, lane)
            records = (*world.raw, *world.canonical, *world.dead)
            count = sum(1 for record in records if record.spot[:2] == place)
            world.ends[place] = Ends(0, count, count)
    for place in ((PREFIX + topic, lane) for topic in RAW_TOPICS for lane in range(world.lanes)):
        through = world.ends[place].high
        fates = ("entries", "duplicates", "discards", "dead_letters", "offset_holes")
        row: dict[str, Any] = {fate: figures[place][fate] for fate in fates}
        row |= {"topic": place[0], "partition": place[1], "first_offset": 0}
        world.books.append({**row, "stored_through": through})
        world.committed[place] = (through, "batch=7")
    world.lane_rows = [{"lane": lane, "batch": 7, "epoch": 1} for lane in range(world.lanes)]


def _forward(world: World) -> None:
    """Tell two SIEMs what they want, with a heartbeat at the end and a replay of one's last."""
    first, second, *_ = sorted(world.heads, key=lambda org: -world.heads[org])
    for each in (Siem(first, "hub", 2), Siem(second, "cef", 0, {"categories": ["authentication"]})):
        entries = (entry_of(row) for row in world.rows if row["org_id"] == each.org)
        wanted = [entry for entry in entries if entry["seq"] > each.begun and due(entry, each)]
        through = each.begun
        own = frozenset({marker(each.org).encode()})
        for entry in sorted(wanted, key=lambda entry: int(entry["seq"])):
            seq, content = entry["seq"], due_content(entry, each.format)
            offset = len(each.told)
            each.told.append(
                Told("live", seq, through, seq, entry["entry_id"], content, offset, own)
            )
            through = seq
        last, head = each.told[-1], world.heads[each.org]
        beat = Told("live", None, through, head, None, 0, len(each.told), frozenset())
        each.told += [beat, last._replace(kind="replay 1"), beat._replace(kind="replay 1")]
        each.replays.append((last.previous, head))
        world.siems.append(each)


def _find(world: World) -> None:
    """Find something in two organizations, and more than Defend keeps in one of them."""
    found = []
    for org in sorted(world.heads)[:2]:
        who = f"u1@{marker(org)}.example"
        hour_ms = NOW_MS - NOW_MS % 3_600_000
        times = hour_ms + 5, hour_ms + 9
        key = org, "grant_burst", "actor", who, hour_ms, org, 3
        found.append(Finding(*key, 2, *times, (who,), ("192.0.2.1",), frozenset({1, 2, 3})))
    exact, larger = (each._replace(finding_id="", version=0) for each in found)
    dues = [Due(exact, exact), Due(larger._replace(seqs=frozenset({1, 2})), larger)]
    world.findings = Findings(dues, found, list(found))


def _moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)
