"""Bugs to plant into a world that is right: each must make the oracle speak."""

import copy
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from tests.faults.catalog import DEAD_LETTERS
from tests.faults.judge_ends import number_of
from tests.faults.judge_order import stray_organizations
from tests.faults.judge_topics import MARK
from tests.faults.world import Ends, Seen, World

Plant = Callable[[World], None]


def copy_of(world: World) -> World:
    """Return a copy whose lists and rows can be changed."""
    lists: dict[str, Any] = {
        name: list(getattr(world, name)) for name in ("raw", "canonical", "dead", "live")
    }
    rows: dict[str, Any] = {
        name: copy.deepcopy(getattr(world, name))
        for name in (
            "rows",
            "dead_rows",
            "books",
            "lane_rows",
            "heads",
            "ends",
            "committed",
            "acked",
            "siems",
            "findings",
        )
    }
    return replace(world, **lists, **rows)


def _reseen(world: World, index: int, **changed: Any) -> None:
    """Change the index-th canonical event, for the live reader as well."""
    old = world.canonical[index]
    world.canonical[index] = old._replace(**changed)
    world.live = [world.canonical[index] if record == old else record for record in world.live]


def _headers(record: Seen, name: str, value: bytes) -> list[tuple[str, bytes | None]]:
    return [(known, value if known == name else kept) for known, kept in record.headers]


def _row_lost(world: World) -> None:
    """Lose a row, its number too, as a batch that was never stored does."""
    row = max(world.rows, key=lambda r: (r["org_id"], r["seq"]))
    world.rows.remove(row)
    world.heads[row["org_id"]] -= 1


def _row_twice(world: World) -> None:
    world.heads[world.rows[0]["org_id"]] += 1
    head = world.heads[world.rows[0]["org_id"]]
    world.rows.append({**world.rows[0], "seq": head})


def _event_lost(world: World) -> None:
    world.canonical.pop(3)


def _event_twice(world: World) -> None:
    last = max(r.offset for r in world.canonical if r.spot[:2] == world.canonical[0].spot[:2])
    again = world.canonical[0]._replace(offset=last + 1)
    world.canonical.append(again)
    world.live.append(again)


def _event_on_other_topic(world: World) -> None:
    _reseen(world, 0, topic=f"{world.prefix}hub.audit.exported", offset=99_999)


def _event_with_other_key(world: World) -> None:
    _reseen(world, 1, key=b"somebody else")


def _event_on_other_partition(world: World) -> None:
    record = world.canonical[1]
    _reseen(world, 1, partition=(record.partition + 1) % world.lanes, offset=99_999)


def _event_with_wrong_header(world: World) -> None:
    _reseen(world, 2, headers=_headers(world.canonical[2], "ce_orgseq", b"999999"))


def _event_marked(world: World) -> None:
    _reseen(world, 0, headers=[*world.canonical[0].headers, (MARK, b"true")])


def _event_with_changed_byte(world: World) -> None:
    _reseen(world, 2, value=(world.canonical[2].value or b"").replace(b"Ann", b"Anm", 1))


def _number_skipped(world: World) -> None:
    org = world.rows[0]["org_id"]
    world.heads[org] += 1
    for row in world.rows:
        row["seq"] += row["org_id"] == org and row["seq"] > 1


def _number_twice(world: World) -> None:
    org = world.rows[0]["org_id"]
    mine = [row for row in world.rows if row["org_id"] == org]
    mine[-1]["seq"] = mine[0]["seq"]


def _head_ahead(world: World) -> None:
    world.heads[world.rows[0]["org_id"]] += 1


def _organizations_swapped(world: World) -> None:
    first = world.rows[0]
    other = next(row for row in world.rows if row["org_id"] != first["org_id"])
    first["org_id"], other["org_id"] = other["org_id"], first["org_id"]


def _marker_leaked(world: World) -> None:
    first = world.rows[0]
    other = next(row for row in world.rows if row["org_id"] != first["org_id"])
    first["details"] = other["details"][:-1] + f', "x": "{other["request_id"]}"}}'


def _byte_of_row_changed(world: World) -> None:
    world.rows[5]["correlation_id"] += "x"


def _time_of_row_off(world: World) -> None:
    world.rows[5]["recorded_at"] += timedelta(milliseconds=1)


def _letter_not_published(world: World) -> None:
    world.dead.pop(0)


def _letter_not_stored(world: World) -> None:
    world.dead_rows.pop(0)


def _letter_twice(world: World) -> None:
    again = world.dead[0]._replace(offset=99_999)
    world.dead.append(again)
    world.live.append(again)


def _letter_with_other_bytes(world: World) -> None:
    world.dead[4] = world.dead[4]._replace(value=b"other")


def _stored_letter_with_other_bytes(world: World) -> None:
    world.dead_rows[4]["raw"] = (world.dead_rows[4]["raw"] or b"") + b" "


def _letter_with_other_reason(world: World) -> None:
    world.dead_rows[6]["reason"] = "refused_by_database"


def _kill(world: World, end: str) -> None:
    """Write a dead letter of a record that was fine."""
    taken = {(r["topic"], r["partition"], r["offset"]) for r in world.dead_rows}
    record = next(
        r for r in world.raw if r.spot not in taken and world.ledger[number_of(r)]["end"] == end
    )
    row = {**world.dead_rows[0], "topic": record.topic, "partition": record.partition}
    world.dead_rows.append({**row, "offset": record.offset, "raw": record.value})
    world.dead.append(record._replace(topic=world.prefix + DEAD_LETTERS, offset=99_999))


def _good_event_dead(world: World) -> None:
    _kill(world, "entry")


def _discard_dead(world: World) -> None:
    _kill(world, "discard")


def _conflict_swallowed(world: World) -> None:
    row = next(row for row in world.dead_rows if row["reason"] == "id_conflict")
    world.dead_rows.remove(row)


def _books_off_by_one(world: World) -> None:
    world.books[0]["duplicates"] += 1


def _books_balance_but_wrong(world: World) -> None:
    world.books[0]["duplicates"] += 1
    world.books[0]["entries"] -= 1


def _row_of_nothing(world: World) -> None:
    row = {**world.rows[0], "entry_id": UUID(int=5), "source_offset": 88_888}
    world.heads[row["org_id"]] += 1
    world.rows.append({**row, "seq": world.heads[row["org_id"]]})


def _events_out_of_order(world: World) -> None:
    strays = stray_organizations(world)
    seen: dict[tuple[object, ...], int] = {}
    for index, record in enumerate(world.canonical):
        where = (*record.spot[:2], record.key)
        if where in seen and record.header("ce_orgid") not in strays:
            first = world.canonical[seen[where]]
            world.canonical[seen[where]] = record._replace(offset=first.offset)
            world.canonical[index] = first._replace(offset=record.offset)
            return
        seen[where] = index


def _batch_not_settled(world: World) -> None:
    world.lane_rows[0]["batch"] += 1


def _group_behind(world: World) -> None:
    place = world.raw[0].spot[:2]
    offset, metadata = world.committed[place]
    world.committed[place] = offset - 1, metadata


def _transaction_hanging(world: World) -> None:
    place = next(iter(world.ends))
    world.ends[place] = Ends(0, 9, 7)


def _seen_and_gone(world: World) -> None:
    world.live.append(world.live[0]._replace(offset=77_777))


def _not_seen_live(world: World) -> None:
    world.live.pop(5)


def _acknowledged_and_gone(world: World) -> None:
    world.acked[number_of(world.raw[0])] = 0, 55_555


def _late_one_won(world: World) -> None:
    """Let the repeat win over the first, as a batch that was stored out of order does."""
    numbers = {number_of(record): record for record in world.raw}
    again = next(
        line
        for line in world.ledger.values()
        if line.get("kind") == "same bytes" and line["content"] == 0
    )
    later, first = numbers[again["n"]], numbers[again["again"]]
    row = next(
        row
        for row in world.rows
        if row["source_offset"] == first.offset
        and row["source_topic"] == first.topic
        and row["source_partition"] == first.partition
    )
    row["source_offset"], row["recorded_at"] = later.offset, row["recorded_at"]


# The bug, and the counter that must not stay 0.
PLANTS: tuple[tuple[Plant, str], ...] = (
    (_row_lost, "lost"),
    (_row_twice, "dup_rows"),
    (_event_lost, "missing_canonical"),
    (_event_twice, "dup_canonical"),
    (_event_on_other_topic, "wrong_canonical"),
    (_event_with_other_key, "wrong_canonical"),
    (_event_on_other_partition, "wrong_canonical"),
    (_event_with_wrong_header, "wrong_canonical"),
    (_event_marked, "unasked_mark"),
    (_event_with_changed_byte, "wrong_bytes"),
    (_number_skipped, "gaps"),
    (_number_twice, "gaps"),
    (_head_ahead, "gaps"),
    (_organizations_swapped, "wrong_org"),
    (_marker_leaked, "wrong_org"),
    (_byte_of_row_changed, "wrong_entry"),
    (_time_of_row_off, "wrong_entry"),
    (_letter_not_published, "missing_dead"),
    (_letter_not_stored, "missing_dead"),
    (_letter_twice, "wrong_dead"),
    (_letter_with_other_bytes, "wrong_dead"),
    (_stored_letter_with_other_bytes, "wrong_dead"),
    (_letter_with_other_reason, "wrong_dead"),
    (_good_event_dead, "unexplained_dead"),
    (_discard_dead, "unexplained_dead"),
    (_conflict_swallowed, "missing_dead"),
    (_books_off_by_one, "books"),
    (_books_balance_but_wrong, "books"),
    (_row_of_nothing, "invented"),
    (_events_out_of_order, "disorder"),
    (_batch_not_settled, "unsettled"),
    (_group_behind, "lag"),
    (_transaction_hanging, "hanging"),
    (_seen_and_gone, "vanished"),
    (_not_seen_live, "unread"),
    (_acknowledged_and_gone, "bus_lost"),
    (_late_one_won, "wrong_winner"),
)
