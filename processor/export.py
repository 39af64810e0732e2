"""Reading the log from the command line: for operators, of any organization they name.

An export goes to a file beside its manifest, and has the file's name only once it is whole. Both
are told to the organization's log first, as what people do on the page is.
"""

import os
import zlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from io import BufferedWriter
from pathlib import Path
from typing import Any, Literal, NamedTuple
from uuid import uuid4  # noqa: TID251 - an act has no identity before it happens

import orjson

from processor.emit.own_events import OwnEvent, OwnEvents
from processor.errors import HubAuditError, UnknownOrganization
from processor.normalize import known_org
from processor.query import parse, render
from processor.settings import Settings
from processor.store import export, feed, search
from processor.store.export import Extent, Piece
from processor.store.reader import Reader
from processor.store.search import Found
from processor.terminal import visible
from schemas.query import Field, Query, Term, Word

Form = Literal["csv", "csv-all", "ndjson"]
SEARCH_SECONDS = 30.0
PRIVATE = 0o600
_GZIP_WINDOW = 31

Progress = Callable[[int, int, float], None]
"""Is told how many entries have been written, how many bytes, and how far back of the whole way."""

HIDDEN = "(hidden)"
"""Stands in the log for what somebody looked for as free text."""


class ExportError(HubAuditError):
    """An export that cannot be made: no such organization, no place for the file."""


class Operator(NamedTuple):
    """Whose command it is."""

    name: str

    @property
    def actor(self) -> dict[str, str]:
        """The operator as the actor of an event."""
        return {"type": "service", "id": f"operator:{self.name}"}


class Written(NamedTuple):
    """What an export wrote: its manifest, which says all that the API's does, and of the file.

    ``bytes`` and ``sha256`` are of what was exported, ``file_bytes`` and ``file_sha256`` of the
    file: the same unless that is packed. A manifest that is made with its export lacks nothing
    that was purged since.
    """

    org_id: str
    filter: str
    form: str
    columns: str
    at: str
    through_seq: int
    rows: int
    bytes: int
    sha256: str
    file_bytes: int
    file_sha256: str
    first_seq: int | None
    last_seq: int | None
    purged_before: None
    apostrophes: str | None


class Sink:
    """A file that is packed on its way when its name ends in ``.gz``; summed up both ways."""

    def __init__(self, path: Path) -> None:
        """Open the file beside the one it becomes."""
        self._path = path
        self._partial = path.with_name(f"{path.name}.partial")
        self._packer = zlib.compressobj(wbits=_GZIP_WINDOW) if path.suffix == ".gz" else None
        try:
            self._file = _opened_private(self._partial)
        except OSError as error:
            raise ExportError(f"{self._partial}: {error.strerror}") from error
        self.digest, self.file_digest = sha256(), sha256()
        self.rows = self.bytes = self.file_bytes = 0
        self.first_seq: int | None = None
        self.last_seq: int | None = None

    def add(self, piece: Piece) -> None:
        """Write a piece."""
        self.digest.update(piece.text)
        self.rows += piece.rows
        self.bytes += len(piece.text)
        if piece.first_seq is not None and piece.last_seq is not None:
            self.first_seq = min(piece.first_seq, self.first_seq or piece.first_seq)
            self.last_seq = max(piece.last_seq, self.last_seq or piece.last_seq)
        self._put(self._packer.compress(piece.text) if self._packer else piece.text)

    def finish(self) -> None:
        """Give the file its name."""
        if self._packer:
            self._put(self._packer.flush())
        self._file.close()
        self._partial.replace(self._path)

    def discard(self) -> None:
        """Leave nothing that could be taken for an export."""
        self._file.close()
        self._partial.unlink(missing_ok=True)

    def _put(self, packed: bytes) -> None:
        self.file_digest.update(packed)
        self.file_bytes += len(packed)
        self._file.write(packed)


def _opened_private(path: Path) -> BufferedWriter:
    """Open a file for what an organization's log holds: for its owner alone, new or not."""

    def opener(name: str, flags: int) -> int:
        """Open it; one that is there keeps its rights unless they are taken."""
        descriptor = os.open(name, flags, PRIVATE)
        os.fchmod(descriptor, PRIVATE)
        return descriptor

    return open(path, "wb", opener=opener)


class Asked(NamedTuple):
    """Who asks for what of whose log."""

    operator: Operator
    org_id: str
    text: str


async def write(
    settings: Settings, asked: Asked, form: Form, path: Path, progress: Progress
) -> Written:
    """Export what a query asks for, to a file and its manifest; raises QueryError."""
    query, org_id = parse(asked.text), asked.org_id
    async with Reader.opened(settings) as reader:
        await _insist_on_known(reader, org_id)
        await _tell(settings, asked, "audit.exported.v1", {"format": form})
        now, head = await reader.now(), await feed.head(reader, org_id)
        extent = Extent(now - timedelta(days=settings.retention_days), head)
        sink = Sink(path)
        try:
            async for piece in _pieces(reader, org_id, query.at(now), form, extent):
                sink.add(piece)
                way = (
                    0.0 if piece.back_to is None else (now - piece.back_to) / (now - extent.oldest)
                )
                progress(sink.rows, sink.bytes, way)
        except BaseException:
            sink.discard()
            raise
    sink.finish()
    kind = "ndjson" if form == "ndjson" else "csv"
    written = Written(
        org_id, asked.text, kind, "six" if form == "csv" else "all", _rendered(now), head,
        sink.rows, sink.bytes, sink.digest.hexdigest(),
        sink.file_bytes, sink.file_digest.hexdigest(), sink.first_seq, sink.last_seq,
        purged_before=None, apostrophes=export.RULE if kind == "csv" else None,
    )  # fmt: skip
    manifest = path.with_name(f"{path.name}.manifest.json")
    with _opened_private(manifest) as file:
        file.write(orjson.dumps(written._asdict(), option=orjson.OPT_INDENT_2) + b"\n")
    return written


async def find(settings: Settings, asked: Asked, limit: int) -> Found:
    """Return the newest entries that a query asks for; raises QueryError."""
    query = parse(asked.text)
    async with Reader.opened(settings) as reader:
        await _insist_on_known(reader, asked.org_id)
        await _tell(settings, asked, "audit.viewed.v1", {})
        now = await reader.now()
        return await search.page(
            reader,
            asked.org_id,
            query.at(now),
            before=None,
            limit=limit,
            budget_seconds=SEARCH_SECONDS,
            oldest=now - timedelta(days=settings.retention_days),
        )


def line(entry: Any) -> str:
    """Return an entry as a line for people: when, what, who, on what, from where."""
    actor, target = entry["actor"], entry["target"]
    who = actor.get("email") or actor.get("id") or actor["type"]
    what = target.get("name") or target.get("id") or ""
    failed = "" if entry["outcome"] == "success" else " FAILED"
    shown = (
        f"{entry['occurred_at']}  {entry['action'] + failed:<34} {who:<32} "
        f"{target['type']} {what}  {entry.get('ip', '')}"
    )
    return visible(shown)


async def _insist_on_known(reader: Reader, org_id: str) -> None:
    """Refuse a mistyped name before anything is told of it: that would be its first entry.

    Raises UnknownOrganization, and ExportError for what can be no organization.
    """
    if known_org(org_id) is None:
        raise ExportError("an organization is 1 to 128 characters of A-Z a-z 0-9 _ -")
    if not await feed.head(reader, org_id):
        small = org_id.lower()
        raise UnknownOrganization(org_id, small if await feed.head(reader, small) else None)


async def _tell(settings: Settings, asked: Asked, name: str, data: dict[str, Any]) -> None:
    """Tell the organization's log of it; raises BusOutage."""
    now = datetime.now(UTC)  # noqa: TID251 - when it is done
    shown = render(Query(tuple(map(_hidden, parse(asked.text).terms))))
    told = {"actor": asked.operator.actor, "filter": {"query": shown}, **data}
    async with OwnEvents.opened(settings) as events:
        await events.publish([OwnEvent(str(uuid4()), name, now, asked.org_id, told)])


def _hidden(term: Term) -> Term:
    """Return a term as the log shows it: free text may be anything, so it is left out."""
    if term.field is not Field.TEXT:
        return term
    return Term(Field.TEXT, (Word(HIDDEN),), term.negated)


def _pieces(
    reader: Reader, org_id: str, query: Query, form: Form, extent: Extent
) -> AsyncIterator[Piece]:
    if form == "ndjson":
        return export.ndjson(reader, org_id, query, extent)
    columns = export.SIX if form == "csv" else export.ALL
    return export.csv(reader, org_id, query, extent, columns)


def _rendered(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
