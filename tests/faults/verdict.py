"""The oracle's answer: a number per way of being wrong, all of which must be 0."""

from collections import Counter
from dataclasses import dataclass, field

# Every way of being wrong, in the words of the issue and of the fault page's invariants.
COUNTERS = {
    "lost": "a record that became none of entry, duplicate, discard, dead letter",
    "invented": "a row, canonical event or dead letter of no record",
    "dup_rows": "an identity with more than one row",
    "dup_canonical": "a row with more than one canonical event",
    "unasked_mark": "a record that says it may have been published before, though none was",
    "missing_canonical": "a row without a canonical event",
    "wrong_entry": "a row that is not what its raw event must become",
    "wrong_canonical": "a canonical event on a wrong topic, partition, key or with wrong headers",
    "wrong_bytes": "a canonical event whose value is not what its row says",
    "wrong_winner": "a later record of an identity that won over an earlier one of its partition",
    "gaps": "a hole, repeat or wrong head in an organization's seq",
    "disorder": "a canonical event or row that stands before one of lower seq",
    "missing_dead": "a rejected record without a dead letter",
    "unexplained_dead": "a dead letter of a record that was fine",
    "wrong_dead": "a dead letter with a wrong reason, place, bytes or headers",
    "wrong_org": "an organization's marker in another organization's record",
    "books": "a figure of source_offsets that does not balance",
    "unsettled": "a lane whose batch on Kafka is not its batch in Postgres",
    "lag": "a visible record behind which the group stands",
    "hanging": "a partition whose last stable offset is not its end",
    "vanished": "a committed record that a live reader saw and that is there no more",
    "unread": "a committed record that a live reader did not see, or saw twice",
    "siem_lost": "an entry, or a replay, that a subscription's topic lacks",
    "siem_repeated": "an entry that a subscription was told of twice, or a test",
    "siem_disorder": "an entry on a subscription's topic behind one of higher seq",
    "siem_foreign": "a record of a subscription that is no entry it wants, or not what that says",
    "siem_broken": "a record of a subscription that does not go on where the one before it ended",
    "siem_open": "a replay or test of a subscription that still stands in its row at the end",
    "findings_lost": "a finding, or a part of one, that store or topic lacks",
    "findings_invented": "a finding, or a part of one, that an undisturbed pass does not make",
    "findings_repeated": "two findings of one matter, or a version told in two ways",
    "bus_lost": "an acknowledged raw record that is not on the bus",
}


@dataclass
class Verdict:
    """Counts by way of being wrong, and the first few cases of each in words."""

    counts: Counter[str] = field(default_factory=Counter)
    cases: dict[str, list[str]] = field(default_factory=dict)
    totals: Counter[str] = field(default_factory=Counter)

    def wrong(self, counter: str, case: object, times: int = 1) -> None:
        """Count a finding, and keep its words while they are few; none when it is 0 times."""
        assert counter in COUNTERS, counter
        if not times:
            return
        self.counts[counter] += times
        kept = self.cases.setdefault(counter, [])
        if len(kept) < 5:
            kept.append(str(case)[:400])

    def add(self, other: "Verdict") -> None:
        """Take in what is wrong elsewhere."""
        for counter, cases in other.cases.items():
            self.wrong(counter, cases[0], other.counts[counter])

    @property
    def clean(self) -> bool:
        """Tell whether nothing at all is wrong."""
        return not +self.counts

    def figures(self) -> dict[str, int]:
        """Return every counter, those at 0 too."""
        return {counter: self.counts[counter] for counter in COUNTERS}

    def __str__(self) -> str:
        """Say what is wrong, with cases."""
        if self.clean:
            return f"clean: {dict(self.totals)}"
        lines = [
            f"{counter}={self.counts[counter]} ({COUNTERS[counter]}): {cases}"
            for counter, cases in self.cases.items()
        ]
        return "\n".join(lines)
