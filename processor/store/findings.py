"""What Defend found: kept, published, listed, acknowledged; and the sets that its rules judge.

A finding in the store only ever grows: keeping what is found again, or less of it, changes nothing.
So it does not matter how often, by whom and in which order anything is found.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from processor.store.maintenance import Session
from processor.store.pool import Database
from processor.store.reader import Reader, reading
from schemas.finding import SCHEMA_VERSION, SEVERITIES, Finding, RuleName, Severity
from schemas.signal import Signal, marks_of

PAGE_ENTRIES = 5_000
"""Of all spans together in one query: so many are held at a time."""

NAMES_MAX = 20
"""Of actors, and of addresses."""

_FIRST = UUID(int=0)
_TOLD = slice(3, 12)  # a signal's fields but for its marks, in their order
_COLUMNS = (
    "finding_id", "version", "org_id", "rule", "severity", "subject_type", "subject", "hour",
    "first_at", "last_at", "actors", "addresses", "seqs", "alerts",
    "acknowledged_at", "acknowledged_by", "acknowledged_evidence",
)  # fmt: skip
_SQL = {
    name: text.replace("/*finding*/", ", ".join(f"f.{column}" for column in _COLUMNS))
    for name, text in reading("findings.sql").items()
}


class Span(NamedTuple):
    """From when to when something of an organization is asked for; the end is not included."""

    org_id: str
    since_ms: int
    until_ms: int


class Alert(NamedTuple):
    """An endpoint's report that is to be kept: as it came, and when the bus got it."""

    org_id: str
    id: str
    occurred_ms: int
    told_ms: int
    report: Mapping[str, Any]


class NewFinding(NamedTuple):
    """What a rule found, ready to be kept."""

    finding_id: str
    org_id: str
    rule: str
    severity: str
    subject_type: str
    subject: str
    hour_ms: int
    first_ms: int
    last_ms: int
    actors: Sequence[str]
    addresses: Sequence[str]
    seqs: Sequence[int]
    alerts: Sequence[str]


class Kept(NamedTuple):
    """A finding, and who acknowledged it when; it may have grown since."""

    finding: Finding
    acknowledged_at: datetime | None
    acknowledged_by: str | None


class Wanted(NamedTuple):
    """Which findings are asked for; everything that is not said is not asked about."""

    acknowledged: bool | None = None
    severity: Severity | None = None
    rule: RuleName | None = None
    before: tuple[datetime, UUID] | None = None
    since: datetime | None = None
    until: datetime | None = None


class Top(NamedTuple):
    """Somebody, or an address, that findings name."""

    name: str
    findings: int
    severity: Severity


class Overview(NamedTuple):
    """How an organization stands: open findings, those of a period over time, and who is in them.

    ``open`` is by severity, whatever the period; each bar of ``bars`` is by severity as well.
    """

    open: dict[Severity, int]
    bars: list[dict[Severity, int]]
    actors: list[Top]
    addresses: list[Top]


async def told(
    db: Database, spans: Sequence[Span], actions: Sequence[str], late_ms_max: int
) -> AsyncIterator[tuple[int, list[Signal]]]:
    """Yield the signals of all entries of some actions in each span, by page, with its number.

    Those that the bus got later than ``late_ms_max`` after they happened are left out.
    """
    late_max = timedelta(milliseconds=late_ms_max)
    after = {number: (span.since_ms, _FIRST) for number, span in enumerate(spans)}
    while after:
        asked = [
            (number, spans[number].org_id, _at(since), last, _at(spans[number].until_ms))
            for number, (since, last) in after.items()
        ]
        columns = [list(column) for column in zip(*asked, strict=True)]
        limit = max(1, PAGE_ENTRIES // len(after))
        async with db.connection() as connection:
            rows = await connection.fetch(_SQL["told"], *columns, list(actions), late_max, limit)
        page: dict[int, list[Any]] = {}
        for row in rows:
            page.setdefault(row["number"], []).append(row)
        after = {}
        for number, of_span in page.items():
            if len(of_span) == limit:
                last = of_span[-1]
                after[number] = _ms(last["occurred_at"]), last["entry_id"]
            yield number, [_signal(row) for row in of_span]


def _signal(row: Any) -> Signal:
    marks = marks_of(
        row["outcome"], new_device=row["new_device"], mfa=row["mfa"], given=row["given"]
    )
    return Signal._make((*row[_TOLD], marks))


async def alerts(db: Database, spans: Sequence[Span]) -> list[list[tuple[Any, int]]]:
    """Return for each span the reports kept, and when the bus got each, in milliseconds."""
    asked = [(n, s.org_id, _at(s.since_ms), _at(s.until_ms)) for n, s in enumerate(spans)]
    columns = [list(column) for column in zip(*asked, strict=True)]
    found: list[list[tuple[Any, int]]] = [[] for _ in spans]
    async with db.connection() as connection:
        for row in await connection.fetch(_SQL["alerts"], *columns):
            found[row["number"]].append((orjson.loads(row["report"]), row["told_ms"]))
    return found


async def keep_alerts(db: Database, kept: Sequence[Alert]) -> None:
    """Keep endpoint alerts, each once, and with the worst verdict that it is sent with."""
    rows = [
        (each.org_id, _at(each.occurred_ms), each.id, _at(each.told_ms), _json(each.report))
        for each in kept
    ]
    async with db.connection() as connection:
        await connection.execute(_SQL["keep_alerts"], *map(list, zip(*rows, strict=True)))


async def keep(db: Database, found: Iterable[NewFinding]) -> None:
    """Keep what was found, in one transaction."""
    ordered = sorted(found, key=lambda each: (each.org_id, each.finding_id))
    rows = [
        (
            each.org_id, UUID(each.finding_id), each.rule, SEVERITIES.index(each.severity),
            each.subject_type, each.subject, _at(each.hour_ms), _at(each.first_ms),
            _at(each.last_ms), list(each.actors), list(each.addresses), list(each.seqs),
            list(each.alerts), NAMES_MAX,
        )
        for each in ordered
    ]  # fmt: skip
    async with db.transaction() as connection:
        await connection.executemany(_SQL["keep"], rows)


async def listed(reader: Reader, org_id: str, wanted: Wanted, *, limit: int) -> list[Kept]:
    """Return an organization's findings, the latest first."""
    before_at, before_id = wanted.before or (None, None)
    severity = None if wanted.severity is None else SEVERITIES.index(wanted.severity)
    async with reader.of(org_id) as connection:
        rows = await connection.fetch(
            _SQL["listed"], org_id, wanted.acknowledged, severity, wanted.rule,
            before_at, before_id, wanted.since, wanted.until, limit,
        )  # fmt: skip
    return [_kept(row) for row in rows]


async def overview(
    reader: Reader, org_id: str, since: datetime, until: datetime, bars: int
) -> Overview:
    """Return how an organization stands, and what a period was like."""
    seconds = (until - since).total_seconds() / bars
    async with reader.of(org_id) as connection:
        still_open = await connection.fetch(_SQL["open_by_severity"], org_id)
        counted = await connection.fetch(_SQL["timeline"], org_id, since, until, seconds)
        top = await connection.fetch(_SQL["top"], org_id, since, until)
    timeline: list[dict[Severity, int]] = [{} for _ in range(bars)]
    for number, severity, count in counted:
        timeline[min(number, bars - 1)][SEVERITIES[severity]] = count
    named: dict[str, list[Top]] = {"actor": [], "address": []}
    for kind, name, count, severity in top:
        named[kind].append(Top(name, count, SEVERITIES[severity]))
    return Overview(
        {SEVERITIES[severity]: count for severity, count in still_open},
        timeline,
        named["actor"],
        named["address"],
    )


async def one(reader: Reader, org_id: str, finding_id: UUID) -> Kept | None:
    """Return one finding of an organization, None when it has none of that id."""
    async with reader.of(org_id) as connection:
        row = await connection.fetchrow(_SQL["one"], org_id, finding_id)
    return None if row is None else _kept(row)


async def reports(reader: Reader, finding: Finding) -> list[dict[str, Any]]:
    """Return the endpoint reports that a finding rests on, 100 at most."""
    if not finding["evidence"]["alerts"]:
        return []
    first, last = (datetime.fromisoformat(finding[at]) for at in ("first_at", "last_at"))
    async with reader.of(finding["org_id"]) as connection:
        rows = await connection.fetch(
            _SQL["alerts_of"], finding["org_id"], finding["evidence"]["alerts"], first, last
        )
    return [orjson.loads(row["report"]) for row in rows]


async def acknowledge(
    db: Database, org_id: str, finding_id: UUID, who: str, evidence: int | None = None
) -> Kept | None:
    """Note that somebody took note of a finding; None when there is none.

    ``evidence`` is how much of it they saw, None for all that there is by now.
    """
    async with db.connection() as connection:
        row = await connection.fetchrow(_SQL["acknowledge"], org_id, finding_id, who, evidence)
    return None if row is None else _kept(row)


async def forget(session: Session, *, after: timedelta) -> None:
    """Forget findings and alerts that ended so long ago; needs the maintenance role."""
    await session.execute(_SQL["forget"], after)


async def unpublished(connection: Any, limit: int) -> list[Finding]:
    """Return what the topic lacks; nothing while another transaction than the caller's does so.

    The rows are free to change: nobody waits for the topic but who else would publish.
    """
    if not await connection.fetchval(_SQL["publisher"]):
        return []
    return [_kept(row).finding for row in await connection.fetch(_SQL["unpublished"], limit)]


async def published(connection: Any, told: Sequence[Finding]) -> None:
    """Note that the topic has these, within the same transaction."""
    marks = [(each["org_id"], UUID(each["finding_id"]), each["version"]) for each in told]
    await connection.execute(_SQL["published"], *map(list, zip(*marks, strict=True)))


async def lacking(db: Database) -> int:
    """Return how many findings the topic lacks, or of how many the latest version."""
    async with db.connection() as connection:
        count: int = await connection.fetchval(_SQL["lacking"])
    return count


def _kept(row: Mapping[str, Any]) -> Kept:
    evidence = len(row["seqs"]) + len(row["alerts"])
    noted = row["acknowledged_at"] is not None and row["acknowledged_evidence"] >= evidence
    finding: Finding = {
        "schema_version": SCHEMA_VERSION,
        "finding_id": str(row["finding_id"]),
        "version": row["version"],
        "org_id": row["org_id"],
        "rule": row["rule"],
        "severity": SEVERITIES[row["severity"]],
        "subject": {"type": row["subject_type"], "value": row["subject"]},
        "hour": _text(row["hour"]),
        "first_at": _text(row["first_at"]),
        "last_at": _text(row["last_at"]),
        "actors": row["actors"] or [],
        "addresses": row["addresses"] or [],
        "evidence": {"seqs": row["seqs"], "alerts": row["alerts"]},
        "status": "acknowledged" if noted else "open",
    }
    return Kept(finding, row["acknowledged_at"], row["acknowledged_by"])


def _at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms // 1000, UTC) + timedelta(milliseconds=ms % 1000)


def _ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)


def _text(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"


def _json(value: Mapping[str, Any]) -> str:
    return orjson.dumps(value).decode()
