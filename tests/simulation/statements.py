"""What each of the product's statements does to the fake store, by the statement's name."""

import struct
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from ipaddress import ip_address
from typing import Any
from uuid import UUID

import asyncpg

from processor.store.rows import COLUMNS, COPY_HEADER
from processor.store.sql import statements
from tests.simulation.database import Session

REFUSED = b"refused-by-the-database"
"""A row that contains this is one that the database does not take, whatever the reason."""

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_LENGTH = struct.Struct("!i")
_COUNT = struct.Struct("!h")
_NUMBER = struct.Struct("!q")


class Row(dict[str, Any]):
    """A row as asyncpg gives it: by name, by number, or as its values in order."""

    def __iter__(self) -> Any:
        """Yield the values."""
        return iter(self.values())

    def __getitem__(self, key: Any) -> Any:
        """Return a value by name or number."""
        return list(self.values())[key] if isinstance(key, int) else dict.__getitem__(self, key)


Answer = tuple[list[Row], str]
Statement = Callable[..., Answer]
_BY_TEXT: dict[str, Statement] = {}


def statement(file: str, name: str) -> Callable[[Statement], Statement]:
    """Register what a statement of the product does."""

    def register(act: Statement) -> Statement:
        _BY_TEXT[statements(file)[name]] = act
        return act

    return register


def execute(session: Session, query: str, args: Sequence[Any]) -> Answer:
    """Run a statement by its text."""
    if session.failed and not query.startswith("ROLLBACK"):
        raise asyncpg.InFailedSQLTransactionError("current transaction is aborted")
    act = _BY_TEXT.get(query)
    if act is not None:
        return act(session, *args)
    return _control(session, query, args)


def _control(session: Session, query: str, args: Sequence[Any]) -> Answer:
    """Run what begins, ends and sets up transactions."""
    word, _, rest = query.partition(" ")
    if query.startswith("ROLLBACK TO SAVEPOINT "):
        session.rollback_to(query.rpartition(" ")[2])
    elif word == "SAVEPOINT":
        session.savepoint(rest)
    elif word == "BEGIN":
        session.begin()
    elif word == "COMMIT":
        session.commit()
    elif word == "ROLLBACK":
        session.rollback()
    elif query.startswith("SELECT set_config('lock_timeout'"):
        session.lock_timeout_seconds = float(args[0]) / 1000
    else:
        raise AssertionError(f"the fake store does not know: {query}")
    return [], query


# --- lanes -----------------------------------------------------------------------------------


@statement("lanes.sql", "take_over")
def _take_over(session: Session, lane: int) -> Answer:
    session.lock("lanes", lane)
    row = session.get("lanes", lane) or Row(epoch=0, batch=0, unemitted=EMPTY)
    row = Row(row | {"epoch": row["epoch"] + 1})
    session.put(row, "lanes", lane)
    return [row], "INSERT 0 1"


EMPTY = '{"ranges": {}, "dead_letters": []}'


@statement("lanes.sql", "end_blockers")
def _end_blockers(session: Session, pid: int) -> Answer:
    found = session.store.blockers(pid)
    for blocker in found:
        session.store.sessions[blocker].end()
    return [Row(pid=blocker, ended=True) for blocker in found], ""


@statement("lanes.sql", "positions")
def _positions(session: Session, lane: int) -> Answer:
    keys = [key for key in session.store.rows if key[0] == "offsets" and key[2] == lane]
    rows = [(key[1], session.get(*key)) for key in keys]
    return [
        Row(topic=topic, first_offset=row["first"], stored_through=row["through"])
        for topic, row in rows
    ], ""


def _fenced(session: Session, lane: int, epoch: int) -> Row | None:
    session.lock("lanes", lane)
    row: Row | None = session.get("lanes", lane)
    return row if row is not None and row["epoch"] == epoch else None


@statement("lanes.sql", "fence")
def _fence(session: Session, lane: int, epoch: int) -> Answer:
    row = _fenced(session, lane, epoch)
    return ([] if row is None else [Row(batch=row["batch"])]), ""


BOOKS = ("entries", "duplicates", "discards", "dead_letters", "holes")


@statement("lanes.sql", "start_partition")
def _start_partition(session: Session, topic: str, lane: int, first: int) -> Answer:
    if session.get("offsets", topic, lane) is None:
        row = {"first": first, "through": first, **dict.fromkeys(BOOKS, 0)}
        session.put(row, "offsets", topic, lane)
    return [], "INSERT 0 1"


@statement("lanes.sql", "skip_gap")
def _skip_gap(session: Session, topic: str, lane: int, first: int, end: int) -> Answer:
    row = session.get("offsets", topic, lane)
    if row is None or row["through"] != first or first >= end:
        return [], "UPDATE 0"
    moved = row | {"through": end, "holes": row["holes"] + end - first}
    session.put(moved, "offsets", topic, lane)
    return [], "UPDATE 1"


@statement("lanes.sql", "record_gap")
def _record_gap(session: Session, topic: str, lane: int, first: int, end: int, _: str) -> Answer:
    session.put((first, end), "gaps", topic, lane, first)
    return [], "INSERT 0 1"


@statement("lanes.sql", "caught_up")
def _caught_up(
    session: Session, lane: int, topics: list[str], positions: list[int], _at: float
) -> Answer:
    moved = 0
    for topic, position in zip(topics, positions, strict=True):
        row = session.get("offsets", topic, lane)
        if row is not None and row["through"] <= position:
            holes = row["holes"] + position - row["through"]
            session.put(row | {"through": position, "holes": holes}, "offsets", topic, lane)
            moved += 1
    return [], f"UPDATE {moved}"


@statement("lanes.sql", "unemitted")
def _unemitted(session: Session, orgs: list[str], firsts: list[int], lasts: list[int]) -> Answer:
    keys = [
        session.get("seqs", org, seq)
        for org, first, last in sorted(zip(orgs, firsts, lasts, strict=True))
        for seq in range(first, last + 1)
    ]
    return [read_row(session.get(*key)) for key in keys if key is not None], ""


# --- a batch ---------------------------------------------------------------------------------


@statement("writer.sql", "next_batch")
def _next_batch(session: Session, lane: int, epoch: int) -> Answer:
    row = _fenced(session, lane, epoch)
    if row is None:
        return [], "UPDATE 0"
    row = Row(row | {"batch": row["batch"] + 1})
    session.put(row, "lanes", lane)
    return [Row(batch=row["batch"])], "UPDATE 1"


@statement("writer.sql", "raise_heads")
def _raise_heads(session: Session, orgs: list[str], added: list[int]) -> Answer:
    wanted = sorted(zip(orgs, added, strict=True))
    for org, _ in wanted:
        session.lock("heads", org)
    rows = [Row(org_id=org, last_seq=(session.get("heads", org) or 0) + n) for org, n in wanted]
    for row in rows:
        session.put(row["last_seq"], "heads", row["org_id"])
    return rows, ""


@statement("writer.sql", "probes_only")
def _probes_only(session: Session) -> Answer:
    return [], ""


@statement("writer.sql", "existing")
def _existing(
    session: Session, orgs: list[str], _times: list[datetime], ids: list[str], *_range: datetime
) -> Answer:
    keys = dict.fromkeys(zip(orgs, ids, strict=True))
    found = [session.get("entries", *key) for key in keys]
    return [read_row(fields) for fields in found if fields is not None], ""


@statement("writer.sql", "redriven")
def _redriven(session: Session, *_: Any) -> Answer:
    return [], ""


@statement("writer.sql", "finish_batch")
def _finish_batch(session: Session, lane: int, unemitted: str, *columns: list[Any]) -> Answer:
    advanced = 0
    for topic, through, *counts in zip(*columns, strict=True):
        row = session.get("offsets", topic, lane)
        if row is None or row["through"] > through:
            continue
        added = {name: row[name] + n for name, n in zip(BOOKS, counts, strict=True)}
        session.put(row | {"through": through} | added, "offsets", topic, lane)
        advanced += 1
    session.put(Row(session.get("lanes", lane) | {"unemitted": unemitted}), "lanes", lane)
    return [Row(count=advanced)], ""


@statement("dead_letters.sql", "by_coordinates")
def _by_coordinates(
    session: Session, topics: Sequence[str], lanes: Sequence[int], offsets: Sequence[int]
) -> Answer:
    keys = sorted(zip(topics, lanes, offsets, strict=True))
    found = [session.get("dead", *key) for key in keys]
    return [row for row in found if row is not None], ""


# --- days ------------------------------------------------------------------------------------


@statement("books.sql", "days")
def _days(session: Session, table: str) -> Answer:
    return [Row(day=day) for day in sorted(session.store.days[table])], ""


@statement("books.sql", "ensure_days")
def _ensure_days(session: Session, table: str, first: date, last: date) -> Answer:
    wanted = {first + timedelta(days=n) for n in range((last - first).days + 1)}
    missing = sorted(wanted - session.store.days[table])
    session.store.days[table].update(missing)
    return [Row(day=day) for day in missing], ""


@statement("books.sql", "oldest_day")
def _oldest_day(session: Session) -> Answer:
    return [Row(min=min(session.store.days["audit_entries"]))], ""


@statement("books.sql", "today")
def _today(session: Session) -> Answer:
    return [Row(date=session.store.today)], ""


# --- COPY ------------------------------------------------------------------------------------


def parse(copied: bytes) -> list[list[bytes | None]]:
    """Return the fields of every row of a binary COPY."""
    assert copied.startswith(COPY_HEADER)
    at, rows = len(COPY_HEADER), []
    while (columns := _COUNT.unpack_from(copied, at)[0]) >= 0:
        at += 2
        fields: list[bytes | None] = []
        for _ in range(columns):
            (size,) = _LENGTH.unpack_from(copied, at)
            at += 4
            if size < 0:
                fields.append(None)
            else:
                fields.append(copied[at : at + size])
                at += size
        rows.append(fields)
    return rows


def _instant(field: bytes) -> datetime:
    return _EPOCH + timedelta(microseconds=_NUMBER.unpack(field)[0])


def _address(field: bytes) -> str:
    return str(ip_address(field[4:]))


def _integer(field: bytes) -> int:
    return int.from_bytes(field, "big", signed=True)


_READ: Mapping[str, Callable[[bytes], Any]] = {
    **dict.fromkeys(("seq", "source_offset", "source_partition", "severity"), _integer),
    **dict.fromkeys(("occurred_at", "recorded_at"), _instant),
    "entry_id": lambda field: str(UUID(bytes=field)),
    "ip": _address,
}
_READERS = tuple((name, _READ.get(name, bytes.decode)) for name in COLUMNS)
_SEQ, _OCCURRED, _ID, _ORG = (
    COLUMNS.index(name) for name in ("seq", "occurred_at", "entry_id", "org_id")
)


def read_row(fields: Sequence[bytes | None]) -> Row:
    """Return a stored row as a reader gets it."""
    return Row(
        {
            name: None if field is None else read(field)
            for (name, read), field in zip(_READERS, fields, strict=True)
        }
    )


def copy_entries(session: Session, copied: bytes) -> str:
    """Insert entries: a day, both unique keys and what is in them are looked at."""
    rows = parse(copied)
    if REFUSED in copied:
        raise asyncpg.DataError("refused")
    for fields in rows:
        _insert(session, fields)
    session.copying = False
    return f"COPY {len(rows)}"


def _insert(session: Session, fields: list[bytes | None]) -> None:
    occurred, org, identifier = fields[_OCCURRED], fields[_ORG], fields[_ID]
    assert occurred is not None
    assert org is not None
    assert identifier is not None
    day = _instant(occurred).date()
    if day not in session.store.days["audit_entries"]:
        raise _violation(asyncpg.CheckViolationError, None)
    key = ("entries", org.decode(), str(UUID(bytes=identifier)))
    seq = ("seqs", org.decode(), _integer(fields[_SEQ] or b""))
    if not session.claim(*key):
        raise _violation(asyncpg.UniqueViolationError, f"audit_entries_{day:%Y_%m_%d}_pkey")
    if not session.claim(*seq):
        raise _violation(asyncpg.UniqueViolationError, f"audit_entries_{day:%Y_%m_%d}_seq_key")
    session.put(fields, *key)
    session.put(key, *seq)


def copy_dead_letters(session: Session, columns: Sequence[str], rows: list[Any]) -> None:
    """Insert dead letters."""
    for values in rows:
        row = Row(zip(columns, values, strict=True))
        if row["recorded_at"].date() not in session.store.days["dead_letters"]:
            raise _violation(asyncpg.CheckViolationError, None)
        key = ("dead", row["topic"], row["partition"], row["offset"])
        if not session.claim(*key):
            raise _violation(asyncpg.UniqueViolationError, "dead_letters_pkey")
        session.put(row, *key)


def _violation(kind: type[asyncpg.PostgresError], constraint: str | None) -> asyncpg.PostgresError:
    error = kind("violation")
    error.constraint_name = constraint
    return error
