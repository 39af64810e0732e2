"""The judge of a soak: the full run's questions, put to streams instead of lists.

Everything is read once, in an order that lets each record be dropped at once: the ledger, the raw
records, the rows, the dead letters' rows, and what was published. What is compared later is kept
in the arrays of ``compact``. It answers in the full run's counters, and its self-test has the full
run's planted bugs; forwarders and Defend it does not judge.
"""

from array import array
from collections import defaultdict
from collections.abc import Mapping
from functools import partial

from tests.faults import judge_ends, judge_order, reduced
from tests.faults.catalog import DEAD_LETTERS, home_lane
from tests.faults.compact import (
    ABORTED,
    DEAD_LETTER,
    DISCARD,
    ENTRY,
    NOWHERE,
    Expected,
    Landed,
    Names,
    Organization,
    digest,
    digest_of_bytes,
    packed,
    unpacked,
)
from tests.faults.drafts import entry_id
from tests.faults.judge_dead import decoded, letter_faults, origin
from tests.faults.load import marker
from tests.faults.observe import raw_places
from tests.faults.reduced import Acked, Row, Told
from tests.faults.rows import milliseconds
from tests.faults.source import Source, Sum
from tests.faults.verdict import Verdict
from tests.faults.world import Place, Seen

OWN_HEADERS = ("dl_stage", "hub_redelivery")


class Judge:
    """One judgement of one source."""

    def __init__(self, source: Source) -> None:
        """Prepare the columns."""
        self.source, self.world = source, source.frame
        self.verdict = Verdict()
        self.places = raw_places(self.world.prefix, self.world.lanes)
        self.landed = [Landed(place) for place in self.places]
        self._index = {place: index for index, place in enumerate(self.places)}
        self.expected = Expected(self._index, self.world.prefix)
        self.orgs: dict[str, Organization] = defaultdict(Organization)
        self.owner: dict[bytes, str] = {}
        self.strays: set[str] = set()
        self.letters = Names()

    def judge(self) -> Verdict:
        """Read everything and return what is wrong."""
        self._read_ledger()
        self._read_raw()
        won = self._read_rows()
        self._read_dead_rows()
        self._read_published()
        self._judge_ends(won)
        self._judge_numbers()
        end = {each.place: len(each.number) for each in self.landed if each.number}
        judge_order.at_rest(self.world, end, self.verdict)
        self.verdict.totals["stray_organizations"] = len(self.strays)
        self.verdict.totals["organizations"] = len(self.world.heads)
        for name in ("duplicates", "discards", "offset_holes"):
            self.verdict.totals[name] = sum(row[name] for row in self.world.books)
        return self.verdict

    # --- what was sent -------------------------------------------------------------------------

    def _read_ledger(self) -> None:
        for said in self.source.ledger(reduced.line):
            if isinstance(said, Acked):
                for number, partition, offset in said.positions:
                    self.expected.acknowledged(number, partition, offset)
            else:
                self.expected.expect(said)
        orgs = self.expected.orgs.texts[1:]
        self.owner = {marker(org).encode(): org for org in orgs}

    def _read_raw(self) -> None:
        """Note where every record is, and that the bus has all that it said it has."""
        due = self.expected.acked
        home = {org: home_lane(org, self.world.lanes) for org in self.owner.values()}
        for record in self.source.raw():
            self.verdict.totals["raw"] += 1
            number = int(record.header("ledger") or 0)
            if not 0 < number < len(self.expected):
                self.verdict.wrong("invented", f"raw record {record.spot} of no line")
                continue
            place = self._index[record.spot[:2]]
            self.landed[place].take(record, number)
            if due[number] == packed(place, record.offset):
                due[number] = NOWHERE
            org = self.expected.org_of(number)
            if record.partition != home[org]:
                self.strays.add(org)
        for number, spot in enumerate(due):
            if spot != NOWHERE:
                self.verdict.wrong("bus_lost", f"record {number} at {unpacked(spot)}")

    def _at(self, place: Place, offset: int) -> tuple[Landed | None, int]:
        """Return the partition and the number of the record there; none and 0 without one."""
        index = self._index.get(place)
        if index is None or not (number := self.landed[index].number_at(offset)):
            return None, 0
        return self.landed[index], number

    # --- the store -----------------------------------------------------------------------------

    def _read_rows(self) -> "array[int]":
        """Judge every row; return which record won, by the first record of its identity."""
        won = array("q", [NOWHERE]) * len(self.expected)
        for row in self.source.rows(partial(reduced.row, self.owner)):
            self.verdict.totals["rows"] += 1
            self.verdict.add(row.wrong)
            where = f"{row.org} {row.seq}"
            if not self.orgs[row.org].store(row.seq, row.value):
                self.verdict.wrong("gaps", f"{where} is there twice")
            landed, number = self._at(row.place, row.offset)
            if landed is None or self.expected.end[number] != ENTRY:
                self.verdict.wrong("invented", f"row {where} of {row.place} {row.offset}")
                continue
            first = self.expected.first[number]
            if won[first] != NOWHERE:
                self.verdict.wrong("dup_rows", f"{where}: {self.expected.told(number)}")
            else:
                won[first] = packed(self._index[row.place], row.offset)
            landed.seq[row.offset] = row.seq
            wrong = self._row_faults(row, landed, number)
            if wrong:
                told = self.expected.told(number)
                self.verdict.wrong("wrong_entry", f"{where}, {told}: {wrong}")
        return won

    def _row_faults(self, row: Row, landed: Landed, number: int) -> list[str]:
        """Return in what a row is not what its raw record must become."""
        due = self.expected.identity[number]
        if not due:
            spot = f"{row.place[1]}:{row.offset}"
            org = self.expected.org_of(number)
            due = digest(entry_id(org, row.place[0], spot, row.occurred_ms))
        wrong = {
            "not the event": row.event != self.expected.event[number],
            "recorded_at": row.recorded_ms != landed.at_ms[row.offset],
            "raw_sha256": row.sha != landed.sha[row.offset],
            "normalizer": not row.normalizer,
            "entry_id": row.entry_id != due,
        }
        return [what for what, is_wrong in wrong.items() if is_wrong]

    def _read_dead_rows(self) -> None:
        for row in self.source.dead_rows():
            self.verdict.totals["dead_letters"] += 1
            place, offset = (row["topic"], row["partition"]), row["offset"]
            landed, _ = self._at(place, offset)
            if landed is None:
                self.verdict.wrong("invented", f"dead letter of {place} {offset}")
                continue
            if landed.letter[offset]:
                self.verdict.wrong("wrong_dead", f"{place} {offset} is in the table twice")
            landed.letter[offset] = self.letters.code(f"{row['stage']}/{row['reason']}")
            came = digest_of_bytes(row["key"], row["raw"], decoded(row["headers"]))
            if came != landed.bytes[offset]:
                self.verdict.wrong("wrong_dead", f"{place} {offset}: bytes in the table")
            if milliseconds(row["recorded_at"]) != landed.at_ms[offset]:
                self.verdict.wrong("wrong_dead", f"{place} {offset}: recorded_at")

    # --- what was published --------------------------------------------------------------------

    def _read_published(self) -> None:
        dead = self.world.prefix + DEAD_LETTERS
        last: dict[tuple[str, Place], tuple[int, int]] = {}
        now: dict[Place, Sum] = defaultdict(Sum)
        keep = partial(reduced.told, self.world, self.owner, dead)
        for record in self.source.published(keep):
            self.verdict.add(record.wrong)
            now[record.spot[:2]].add(record.digest)
            if record.marked:
                self.verdict.wrong("unasked_mark", record.spot)
            if record.letter is not None:
                self._judge_letter(record.letter)
            else:
                self._judge_event(record, last)
        self._judge_live(now)

    def _judge_event(self, record: Told, last: dict[tuple[str, Place], tuple[int, int]]) -> None:
        """Judge a canonical event against the row of its number."""
        self.verdict.totals["canonical"] += 1
        org, seq = record.org, record.seq
        kept = self.orgs.get(org)
        due = kept.stored(seq) if kept else 0
        if kept is None or not due:
            self.verdict.wrong("invented", f"canonical {org} {seq} at {record.spot}")
            return
        if kept.published[seq]:
            self.verdict.wrong("dup_canonical", f"{org} {seq} again at {record.spot}")
        kept.published[seq] = 1
        if record.value != due:
            self.verdict.wrong("wrong_bytes", f"{record.spot} of {org} {seq}")
        if org not in self.strays:
            judge_order.follow(last, (org, record.spot[:2]), record.spot[2], seq, self.verdict)

    def _judge_letter(self, letter: Seen) -> None:
        """Judge a dead letter on the topic against its row and the bytes of its record."""
        topic, partition, offset = origin(letter)
        place = (topic, partition)
        landed, _ = self._at(place, offset)
        if landed is None or not landed.letter[offset]:
            self.verdict.wrong("invented", f"letter of {place} {offset} at {letter.spot}")
            return
        if landed.published[offset]:
            self.verdict.wrong("wrong_dead", f"{place} {offset} is on the topic again")
        landed.published[offset] = 1
        names = [name for name, _ in letter.headers]
        own = min((names.index(name) for name in OWN_HEADERS if name in names), default=0)
        headers = letter.headers[:own]
        at_ms = landed.at_ms[offset]
        record = Seen(topic, partition, offset, at_ms, letter.key, letter.value, headers)
        stage, reason = self.letters.texts[landed.letter[offset]].split("/")
        wrong = letter_faults(letter, {"stage": stage, "reason": reason}, record)
        if digest_of_bytes(letter.key, letter.value, headers) != landed.bytes[offset]:
            wrong.append("bytes on the topic")
        self.verdict.wrong("wrong_dead", f"{place} {offset}: {wrong}", len(wrong))

    def _judge_live(self, now: Mapping[Place, Sum]) -> None:
        """Compare what a reader saw during the faults with what stands there."""
        seen = self.source.live()
        for place in now.keys() | seen.keys():
            then, standing = seen.get(place, Sum()), now.get(place, Sum())
            if then.count < standing.count:
                self.verdict.wrong("unread", f"{place}: {standing.count - then.count} records")
            elif then != standing:
                self.verdict.wrong("vanished", f"{place}: {then.count - standing.count} records")

    # --- ends ----------------------------------------------------------------------------------

    def _judge_ends(self, won: "array[int]") -> None:
        """Judge how every record ended, and recount the books by it."""
        nothing = dict.fromkeys(judge_ends.FATES, 0)
        due: dict[Place, dict[str, int]] = defaultdict(lambda: dict(nothing))
        ends: dict[Place, int] = {}
        for index, landed in enumerate(self.landed):
            last: dict[tuple[str, Place], tuple[int, int]] = {}
            for offset, number in enumerate(landed.number):
                if not number:
                    continue
                due[landed.place][self._fate(index, offset, number, won)] += 1
                if landed.letter[offset] and not landed.published[offset]:
                    self.verdict.wrong("missing_dead", f"{landed.place} {offset}: no letter")
                org = self.expected.org_of(number)
                if landed.seq[offset] and org not in self.strays:
                    where = (org, landed.place)
                    judge_order.follow(last, where, offset, landed.seq[offset], self.verdict)
            if landed.number:
                ends[landed.place] = len(landed.number) - 1
        judge_ends.balance(self.world, due, ends, self.verdict)

    def _fate(self, place: int, offset: int, number: int, won: "array[int]") -> str:
        """Return how the record there had to end; report it when it did not."""
        end = self.expected.end[number]
        if end == ABORTED:
            self.verdict.wrong("bus_lost", f"aborted record {number} is visible")
        if end == DISCARD:
            self._no_letter(place, offset, number)
            return "discards"
        if end != ENTRY:
            assert end in (DEAD_LETTER, ABORTED)
            reason = self.expected.reasons.texts[self.expected.reason[number]]
            self._letter(place, offset, number, reason)
            return "dead_letters"
        return self._fate_of_member(place, offset, number, won)

    def _fate_of_member(self, place: int, offset: int, number: int, won: "array[int]") -> str:
        """Judge a record of an identity: it won, or says the same as who did, or something else."""
        first, here = self.expected.first[number], packed(place, offset)
        winner = won[first]
        if winner == NOWHERE:
            self.verdict.wrong("lost", f"{self.expected.told(number)} {unpacked(here)}")
            winner = won[first] = here
        if winner == here:
            self._no_letter(place, offset, number)
            return "entries"
        at, its_offset = unpacked(winner)
        if at == place and offset < its_offset:
            self.verdict.wrong("wrong_winner", f"{unpacked(winner)} over {unpacked(here)}")
        said = self.expected.content[self.landed[at].number[its_offset]]
        if self.expected.content[number] == said:
            self._no_letter(place, offset, number)
            return "duplicates"
        self._letter(place, offset, number, "id_conflict")
        return "dead_letters"

    def _no_letter(self, place: int, offset: int, number: int) -> None:
        found = self.letters.texts[self.landed[place].letter[offset]]
        if found:
            self.verdict.wrong("unexplained_dead", f"{self.expected.told(number)}: {found}")

    def _letter(self, place: int, offset: int, number: int, reason: str) -> None:
        found = self.letters.texts[self.landed[place].letter[offset]]
        told = f"{self.expected.told(number)} {self.landed[place].place} {offset}"
        if not found:
            self.verdict.wrong("missing_dead", told)
        elif found.split("/")[1] != reason:
            self.verdict.wrong("wrong_dead", f"{told}: {found}")

    def _judge_numbers(self) -> None:
        """Check that each organization's numbers are 1 to n, its head n, and all published."""
        for org in self.orgs.keys() | self.world.heads.keys():
            kept = self.orgs[org]
            rows = len(kept.value) - 1
            missing = kept.value.count(0) - 1
            if missing or self.world.heads.get(org, 0) != rows:
                head = self.world.heads.get(org)
                self.verdict.wrong("gaps", f"{org}: {missing} missing to {rows}, head {head}")
            silent = rows - missing - kept.published.count(1)
            self.verdict.wrong("missing_canonical", f"{org}: {silent} numbers", silent)
        if self.world.seq_gaps or self.world.source_gaps:
            gaps = f"{self.world.seq_gaps} seq gaps, {self.world.source_gaps} source gaps"
            self.verdict.wrong("gaps", gaps)
