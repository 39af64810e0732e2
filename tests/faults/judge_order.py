"""I4, I8: gapless numbers, order by number, and nothing left hanging."""

from collections import defaultdict
from collections.abc import Mapping

from tests.faults.catalog import home_lane
from tests.faults.judge_ends import number_of
from tests.faults.rows import spot_of
from tests.faults.verdict import Verdict
from tests.faults.world import Place, World


def sequence(world: World, verdict: Verdict) -> None:
    """Check that each organization's numbers are 1 to n and its head is n."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for row in world.rows:
        numbers[row["org_id"]].append(row["seq"])
    for org in numbers.keys() | world.heads.keys():
        found = sorted(numbers[org])
        if found != list(range(1, len(found) + 1)):
            due = set(range(1, len(found) + 1))
            verdict.wrong("gaps", f"{org}: missing {sorted(due - set(found))[:5]}")
        if world.heads.get(org, 0) != len(found):
            verdict.wrong("gaps", f"{org}: head {world.heads.get(org)}, rows {len(found)}")
    if world.seq_gaps or world.source_gaps:
        verdict.wrong("gaps", f"{world.seq_gaps} seq gaps, {world.source_gaps} source gaps")


def order(world: World, verdict: Verdict) -> None:
    """Check that rows and canonical events follow seq for organizations that stay at home."""
    strays = stray_organizations(world)
    last: dict[tuple[str, Place], tuple[int, int]] = {}
    for record in sorted(world.canonical, key=lambda r: r.spot):
        org = record.header("ce_orgid") or ""
        if org not in strays:
            seq = int(record.header("ce_orgseq") or 0)
            follow(last, (org, record.spot[:2]), record.offset, seq, verdict)
    last.clear()
    for row in sorted(world.rows, key=spot_of):
        if row["org_id"] not in strays:
            topic, partition, offset = spot_of(row)
            follow(last, (row["org_id"], (topic, partition)), offset, row["seq"], verdict)
    verdict.totals["stray_organizations"] = len(strays)


def stray_organizations(world: World) -> set[str]:
    """Return the organizations that sent records elsewhere than their key says."""
    sent = ((world.ledger[number_of(record)]["org"], record.partition) for record in world.raw)
    return {org for org, partition in sent if partition != home_lane(org, world.lanes)}


def follow(
    last: dict[tuple[str, Place], tuple[int, int]],
    where: tuple[str, Place],
    offset: int,
    seq: int,
    verdict: Verdict,
) -> None:
    """Check that a number comes after the one before it at the same place."""
    before = last.get(where, (-1, 0))
    if seq <= before[1]:
        verdict.wrong("disorder", f"{where}: seq {seq} at {offset} after {before[1]}")
    last[where] = (offset, seq)


def settled(world: World, verdict: Verdict) -> None:
    """Check that Kafka and Postgres agree on where each lane stands, and nothing hangs."""
    end: dict[Place, int] = {}
    for record in world.raw:
        place = record.spot[:2]
        end[place] = max(end.get(place, 0), record.offset + 1)
    at_rest(world, end, verdict)


def at_rest(world: World, end: Mapping[Place, int], verdict: Verdict) -> None:
    """Check that nothing hangs, and that the group stands where the raw records end."""
    for place, ends in world.ends.items():
        if ends.stable != ends.high:
            verdict.wrong("hanging", f"{place}: {ends}")
    for place, due in end.items():
        committed, _ = world.committed.get(place, (-1, ""))
        if committed < due:
            verdict.wrong("lag", f"{place}: committed {committed}, records to {due}")
    batches = {row["lane"]: row["batch"] for row in world.lane_rows}
    for (topic, partition), (offset, metadata) in world.committed.items():
        if offset >= 0 and metadata != f"batch={batches.get(partition)}":
            verdict.wrong(
                "unsettled", f"{topic} {partition}: {metadata!r}, lane {batches.get(partition)}"
            )
