"""Looks at a run's end in one pass: quick enough for every seed; the oracle looks at some."""

from collections import Counter, defaultdict
from typing import Any

from tests.faults.catalog import CANONICAL_TOPICS, DEAD_LETTERS, RAW_TOPICS, home_lane
from tests.faults.judge_ends import identity_of, number_of
from tests.faults.oracle import judge as ask_oracle
from tests.faults.world import Ends, Seen, World
from tests.simulation.broker import Place
from tests.simulation.scene import Scene
from tests.simulation.statements import Row, read_row

Spot = tuple[str, int, int]


def judge(scene: Scene) -> list[str]:
    """Return what is wrong."""
    wrong: list[str] = []
    if scene.plan.restored:
        return _stopped(scene)
    rows = {key: read_row(fields) for key, fields in scene.store.table("entries").items()}
    dead = _ends(scene, rows, wrong)
    _published(scene, rows, dead, wrong)
    _numbers(scene, rows, wrong)
    return wrong


def _stopped(scene: Scene) -> list[str]:
    """Check that a lane whose commits were lost has published nothing since.

    When the group's offsets were taken away as well, nobody can know, and nothing is looked at.
    What an organization sent to other lanes than its own is not looked at: those may have lost
    nothing, and go on.
    """
    wrong: list[str] = []
    if scene.plan.tampered:
        return wrong
    strays = {
        scene.ledger[number_of(record)]["org"].encode()
        for record in raw_records(scene)
        if home_lane(scene.ledger[number_of(record)]["org"], scene.plan.lanes) != record.partition
    }
    for topic in CANONICAL_TOPICS:
        for lane in range(scene.plan.lanes):
            seen: dict[str, str | None] = {}
            log = scene.broker.logs[topic, lane]
            for record in log.visible(0, log.end):
                headers = dict(record.headers)
                name, seq = headers["ce_id"], headers["ce_orgseq"]
                if headers["ce_orgid"] in strays:
                    continue
                if seen.setdefault(str(name), str(seq)) != str(seq):
                    wrong.append(f"published: {name!r} again, as {seq!r}")
    return wrong


def _ends(scene: Scene, rows: dict[Any, Row], wrong: list[str]) -> dict[Spot, str]:
    """Check that each record came to its end; return the dead letters there must be."""
    due_dead: dict[Spot, str] = {}
    groups: dict[Any, dict[Spot, Any]] = defaultdict(dict)
    counts: dict[Place, Counter[str]] = defaultdict(Counter)
    gone = forgotten(scene)
    for record in raw_records(scene):
        if record.spot in gone:
            continue
        line = scene.ledger[number_of(record)]
        if line["end"] == "entry":
            groups[line["org"], identity_of(record, line)][record.spot] = line["content"]
        elif line["end"] == "discard":
            counts[record.spot[:2]]["discards"] += 1
        else:
            due_dead[record.spot] = line["reason"]
    for key, members in groups.items():
        row = rows.get(key)
        if row is None:
            wrong.append(f"lost: {key} of {members}")
        else:
            _group(row, members, counts, due_dead, wrong)
    wrong += [f"invented: {key}" for key in rows.keys() - groups.keys()]
    for spot in due_dead:
        counts[spot[:2]]["dead_letters"] += 1
    _books(scene, counts, wrong)
    return due_dead


def _group(
    row: Row,
    members: dict[Spot, Any],
    counts: dict[Place, Counter[str]],
    due_dead: dict[Spot, str],
    wrong: list[str],
) -> None:
    """Say how each record of an identity must have ended, given the one that won."""
    won = (row["source_topic"], row["source_partition"], row["source_offset"])
    if won not in members:
        wrong.append(f"invented: {row['entry_id']} at {won}")
        return
    for spot, content in members.items():
        if content != members[won]:
            due_dead[spot] = "id_conflict"
        else:
            counts[spot[:2]]["entries" if spot == won else "duplicates"] += 1


def _books(scene: Scene, counts: dict[Place, Counter[str]], wrong: list[str]) -> None:
    """Recount the books."""
    for place, row in scene.store.table("offsets").items():
        due = counts.get(place, Counter())
        found = {fate: row[fate] for fate in ("entries", "duplicates", "discards", "dead_letters")}
        if found != {fate: due[fate] for fate in found}:
            wrong.append(f"books: {place} {row}, due {dict(due)}")
        if row["through"] - row["first"] != sum(found.values()) + row["holes"]:
            wrong.append(f"books: {place} {row} do not balance")


def _published(
    scene: Scene, rows: dict[Any, Row], due_dead: dict[Spot, str], wrong: list[str]
) -> None:
    """Check that everything stored was published once, and nothing else."""
    numbers = {row["entry_id"]: row["seq"] for row in rows.values()}
    events = [record for topic in CANONICAL_TOPICS for record in visible(scene, topic)]
    for record in events:
        name, seq = record.header("ce_id"), record.header("ce_orgseq")
        if seq != str(numbers.get(name)):
            wrong.append(f"published: {name} with seq {seq}, stored {numbers.get(name)}")
    _once("published", [(r, r.header("ce_id")) for r in events], set(numbers), wrong)
    stored = {key: row["reason"] for key, row in scene.store.table("dead").items()}
    if stored != due_dead:
        wrong.append(f"dead letters: {stored.items() ^ due_dead.items()}")
    letters = [(r, _origin(r)) for r in visible(scene, DEAD_LETTERS)]
    _once("dead letters", letters, set(due_dead), wrong)


def _once(what: str, of: list[tuple[Seen, Any]], due: set[Any], wrong: list[str]) -> None:
    """Check that each thing is published once, and not as one that may have been before."""
    times = Counter(name for _, name in of)
    wrong += [
        f"{what}: {name} {times[name]} times, stored {name in due}"
        for name in due | times.keys()
        if name not in due or times[name] != 1
    ]
    marked = [name for record, name in of if record.header("hub_redelivery")]
    wrong += [f"{what}: {name} is marked as a redelivery" for name in marked]


def _origin(letter: Seen) -> Spot:
    partition, offset = letter.header("dl_partition"), letter.header("dl_offset")
    return letter.header("dl_topic") or "", int(partition or -1), int(offset or -1)


def _numbers(scene: Scene, rows: dict[Any, Row], wrong: list[str]) -> None:
    """Check that each organization's numbers are 1 to its head."""
    by_org: dict[str, list[int]] = {}
    for row in rows.values():
        by_org.setdefault(row["org_id"], []).append(row["seq"])
    for (org,), head in scene.store.table("heads").items():
        found = sorted(by_org.get(org, []))
        if found != list(range(1, head + 1)):
            wrong.append(f"gaps: {org} has {found}, head {head}")


def forgotten(scene: Scene) -> set[Spot]:
    """Return the offsets that were stepped over because the bus had them no more."""
    return {
        (topic, lane, offset)
        for (topic, lane, _), (first, end) in scene.store.table("gaps").items()
        for offset in range(first, end)
    } | {
        (topic, lane, offset)
        for (topic, lane), row in scene.store.table("offsets").items()
        for offset in range(row["first"])
    }


def raw_records(scene: Scene) -> list[Seen]:
    """Return every raw record that was ever there."""
    found = []
    for topic in RAW_TOPICS:
        for lane in range(scene.plan.lanes):
            log = scene.broker.logs[topic, lane]
            found += [
                Seen(*item[0][:6], list(item[0].headers))
                for item in log.items
                if item is not None and item[1] is None
            ]
    return found


def visible(scene: Scene, topic: str) -> list[Seen]:
    """Return what a reader of committed data gets of a topic."""
    found = []
    for lane in range(scene.plan.lanes):
        log = scene.broker.logs[topic, lane]
        found += [Seen(*r[:6], list(r.headers)) for r in log.visible(0, log.end)]
    return found


def ask(scene: Scene) -> list[str]:
    """Return what the oracle of the fault runs says of the same end."""
    if forgotten(scene) or scene.plan.tampered or scene.plan.restored:
        return []  # the oracle knows no bus that forgets, and looks at the group's offsets
    verdict = ask_oracle(_world(scene))
    return [] if verdict.clean else str(verdict).splitlines()


def _world(scene: Scene) -> World:
    books = []
    for (topic, lane), row in scene.store.table("offsets").items():
        kept = {name: row[name] for name in ("entries", "duplicates", "discards", "dead_letters")}
        place = {"topic": topic, "partition": lane, "first_offset": row["first"]}
        books.append(
            {**place, "stored_through": row["through"], "offset_holes": row["holes"], **kept}
        )
    lanes = scene.store.table("lanes")
    logs = scene.broker.logs.items()
    places = [(topic, lane) for topic in RAW_TOPICS for lane in range(scene.plan.lanes)]
    known = scene.broker.group_offsets(scene.settings.group, places)
    return World(
        prefix="",
        lanes=scene.plan.lanes,
        ledger=scene.ledger,
        raw=raw_records(scene),
        canonical=[record for topic in CANONICAL_TOPICS for record in visible(scene, topic)],
        dead=visible(scene, DEAD_LETTERS),
        ends={place: Ends(log.begin, log.end, log.stable) for place, log in logs},
        committed=known,
        rows=[dict(read_row(f).items()) for f in scene.store.table("entries").values()],
        dead_rows=[dict(row.items()) for row in scene.store.table("dead").values()],
        books=books,
        heads={org: head for (org,), head in scene.store.table("heads").items()},
        lane_rows=[{"lane": k[0], **dict(row.items())} for k, row in lanes.items()],
    )
