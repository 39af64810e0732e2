"""What Defend must have found: what an undisturbed pass over the same canonical events finds."""

from collections import defaultdict
from collections.abc import Iterable

from tests.faults.judge_topics import MARKER
from tests.faults.load import marker
from tests.faults.verdict import Verdict
from tests.faults.world import Due, Finding, World

SEQS_TOLD_MAX = 20_000
"""Of its entries the first so many are named on the topic."""


def findings(world: World, verdict: Verdict) -> None:
    """Judge what is stored, and of what was told the highest version of each finding."""
    found = world.findings
    due = {each.most.key: each for each in found.due}
    _all("stored", found.stored, due, verdict)
    stored = {each.finding_id: each for each in found.stored}
    whole = [_whole(each, stored.get(each.finding_id, each)) for each in found.told]
    _all("told", whole, due, verdict)
    told = {each.finding_id: each for each in whole}
    for each in found.stored:
        last = told.pop(each.finding_id, None)
        if last is None or last.version < each.version:
            verdict.wrong("findings_lost", f"version {each.version} was not told: {each.key}")
        elif last != each:
            verdict.wrong("findings_invented", f"told {last}, stored {each}")
    for other in told.values():
        verdict.wrong("findings_invented", f"told and not stored: {other.key}")
    for case in found.torn:
        verdict.wrong("findings_repeated", case)
    for each in (*found.stored, *found.told):
        text = " ".join((each.subject, *each.actors)).lower().encode()
        if set(MARKER.findall(text)) - {marker(each.org).encode()}:
            verdict.wrong("wrong_org", f"finding of {each.org}: {text!r}")
    verdict.totals["findings"] += len(found.stored)


def _whole(told: Finding, stored: Finding) -> Finding:
    """Return what was told with all its entries, where those that were are the first of them."""
    first = frozenset(sorted(stored.seqs)[:SEQS_TOLD_MAX])
    return told._replace(seqs=stored.seqs) if told.seqs == first else told


def _all(
    where: str,
    found: Iterable[Finding],
    due: dict[tuple[object, ...], Due],
    verdict: Verdict,
) -> None:
    by_key: dict[tuple[object, ...], list[Finding]] = defaultdict(list)
    for each in found:
        by_key[each.key].append(each)
    for key, several in by_key.items():
        verdict.wrong("findings_repeated", f"{where}: {several}", len(several) - 1)
        if key in due:
            for each in several:
                _judge(where, each, due[key], verdict)
        else:
            verdict.wrong("findings_invented", f"{where}: {key}")
    for key, missing in due.items():
        if missing.least is not None and key not in by_key:
            verdict.wrong("findings_lost", f"{where}: {missing.least}")


def _judge(where: str, found: Finding, due: Due, verdict: Verdict) -> None:
    least, most = due
    if least is not None and (least.seqs - found.seqs or found.severity < least.severity):
        verdict.wrong("findings_lost", f"{where}: {found} is less than {least}")
    elif found.seqs - most.seqs or found.severity > most.severity:
        verdict.wrong("findings_invented", f"{where}: {found} is more than {most}")
    elif least == most and found[7:] != most[7:]:
        verdict.wrong("findings_invented", f"{where}: {found} is not {most}")
