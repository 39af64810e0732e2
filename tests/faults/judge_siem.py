"""What each SIEM must have been told: its organization's entries, once each, in order."""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from tests.faults.load import marker
from tests.faults.rows import Row, entry_of
from tests.faults.siem import due, due_content
from tests.faults.verdict import Verdict
from tests.faults.world import Siem, Told, World


class Wanted(NamedTuple):
    """An entry that a subscription is to be told of."""

    entry_id: str
    content: int


def siems(world: World, verdict: Verdict) -> None:
    """Judge every subscription by the rows, and search what it was told for others' markers."""
    for each in world.siems:
        where = f"siem.{each.org}.{each.format}"
        chains(each, wanted(world.rows, each), world.heads.get(each.org, 0), verdict)
        verdict.wrong("siem_open", f"{where}: {each.open}", len(each.open))
        own = {marker(each.org).encode()}
        for one in each.told:
            if one.markers - own:
                verdict.wrong("wrong_org", f"{where} at {one.offset} carries {one.markers - own}")
        verdict.totals["siem_records"] += len(each.told)
    verdict.totals["subscriptions"] += len(world.siems)


def wanted(rows: Iterable[Row], each: Siem) -> dict[int, Wanted]:
    """Return by its number every entry that a subscription is to be told of."""
    mine = (row for row in rows if row["org_id"] == each.org and row["seq"] > each.begun)
    return {
        entry["seq"]: Wanted(entry["entry_id"], due_content(entry, each.format))
        for entry in map(entry_of, mine)
        if due(entry, each)
    }


def chains(each: Siem, wanted: Mapping[int, Wanted], head: int, verdict: Verdict) -> None:
    """Judge what a subscription was told live, in each replay, and in tests."""
    where = f"siem.{each.org}.{each.format}"
    kinds: dict[str, list[Told]] = defaultdict(list)
    for one in each.told:
        kinds[one.kind].append(one)
    live = kinds.pop("live", [])
    _chain(f"{where} live", live, each.begun, head, verdict)
    _entries(f"{where} live", live, wanted, verdict)
    replayed = set()
    for kind, several in kinds.items():
        if kind.startswith("test"):
            verdict.wrong("siem_repeated", f"{where} {kind}", len(several) - 1)
            continue
        after, through = several[0].previous, several[-1].through
        replayed.add((after, through))
        _chain(f"{where} {kind}", several, after, through, verdict)
        again = {seq: entry for seq, entry in wanted.items() if after < seq <= through}
        _entries(f"{where} {kind}", several, again, verdict)
    for ordered in set(each.replays) - replayed:
        verdict.wrong("siem_lost", f"{where}: no replay of {ordered}, but {replayed}")


def _chain(where: str, found: Sequence[Told], begun: int, head: int, verdict: Verdict) -> None:
    """Check that each record goes on where the one before it ended, and the last is at the head."""
    ends = itertools.chain([begun], (one.through for one in found))
    for through, one in zip(ends, found, strict=False):
        if one.previous != through or one.through < one.previous:
            said = f"{one.previous} to {one.through}"
            verdict.wrong("siem_broken", f"{where} at {one.offset}: {said} after {through}")
    end = found[-1].through if found else begun
    if end != head:
        verdict.wrong("siem_broken", f"{where} ends at {end}, the organization at {head}")


def _entries(
    where: str, found: Sequence[Told], wanted: Mapping[int, Wanted], verdict: Verdict
) -> None:
    """Check that every wanted entry is there, once, in order, and nothing else is."""
    seen: set[int] = set()
    last = 0
    for one in found:
        if one.seq is None:
            continue
        if wanted.get(one.seq) != (one.entry_id, one.content):
            verdict.wrong("siem_foreign", f"{where} at {one.offset}: {one.seq} {one.entry_id}")
        elif one.seq in seen:
            verdict.wrong("siem_repeated", f"{where} at {one.offset}: {one.seq}")
        elif one.seq < last:
            verdict.wrong("siem_disorder", f"{where} at {one.offset}: {one.seq} after {last}")
        seen.add(one.seq)
        last = max(last, one.seq)
    lost = sorted(wanted.keys() - seen)
    verdict.wrong("siem_lost", f"{where}: {lost[:5]} of {len(wanted)}", len(lost))
