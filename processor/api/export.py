"""Exports over HTTP: streamed, without a limit, with what proves that nothing was cut off.

Six columns stay six, so the proof is not in the file: a download names the address of its manifest,
which has the row count, the SHA-256 and the sequence numbers of exactly that export. The manifest
is worked out by making the export again, so that any instance can give it. An export goes back in
time: once its oldest days may be purged, the manifest is that of the file's beginning, up to them.
"""

import logging
import re
import zlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlencode

import orjson
from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import StreamingResponse

from processor import metrics
from processor.api.access import EXPORT, Viewer, require
from processor.api.problems import Problem
from processor.api.services import Services
from processor.api.streams import CutOff, Stream
from processor.errors import Outage
from processor.query import parse
from processor.store import export, feed
from processor.store.export import Extent, Piece
from processor.store.walk import reach

log = logging.getLogger(__name__)

router = APIRouter(tags=["export"])

SEQ_MAX = 2**63 - 1
YEARS = range(2020, 9_000)
MEDIA_TYPES = {
    "csv": "text/csv; charset=utf-8; header=present",
    "ndjson": "application/x-ndjson",
}
_GZIP_WINDOW = 31
_GZIP = re.compile(r"(?:^|[,\s])gzip\s*(?:,|$|;\s*q=(?!0(?:\.0*)?\s*(?:,|$)))", re.IGNORECASE)

Exporter = Annotated[Viewer, Depends(require(EXPORT))]
Filter = Annotated[str, Query(max_length=2_000, description="the query, as in the search box")]


async def _placed(viewer: Exporter, request: Request) -> AsyncIterator[None]:
    """Take one of the organization's places for exports, until the last byte has left."""
    with _services(request).exports.taken(viewer.org_id):
        yield


Bounded = Depends(_placed, scope="request")
Form = Literal["csv", "ndjson"]
Columns = Literal["six", "all"]


class Order(NamedTuple):
    """What makes an export what it is; the same order is the same bytes."""

    filter: str
    form: Form
    columns: Columns
    at: datetime
    through_seq: int

    def oldest(self, services: Services) -> datetime:
        """Return before when entries counted as purged."""
        return self.at - timedelta(days=services.settings.retention_days)

    def pieces(
        self, services: Services, org_id: str, purged_before: datetime | None = None
    ) -> AsyncIterator[Piece]:
        """Make the export, as far back as nothing of it may be purged; raises QueryError."""
        query = parse(self.filter).at(self.at)
        extent = Extent(purged_before or self.oldest(services), self.through_seq)
        if self.form == "ndjson":
            return _to_its_end(export.ndjson(services.exporting, org_id, query, extent))
        columns = export.SIX if self.columns == "six" else export.ALL
        return _to_its_end(export.csv(services.exporting, org_id, query, extent, columns))

    def described(self) -> dict[str, Any]:
        """Return the order as it is asked for in an address."""
        return self._asdict() | {"at": self.at.isoformat().replace("+00:00", "Z")}


async def _to_its_end(pieces: AsyncIterator[Piece]) -> AsyncIterator[Piece]:
    """Yield the pieces; raises CutOff when there is an outage before the last one."""
    try:
        async for piece in pieces:
            yield piece
    except Outage as error:
        log.warning("export_cut_off", extra={"error": str(error)})
        raise CutOff from error


@router.get(
    "/v1/audit-entries.csv",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/csv": {}}}},
    dependencies=[Bounded],
)
async def as_csv(
    request: Request, viewer: Exporter, filter: Filter = "", columns: Columns = "six"
) -> StreamingResponse:
    """Download entries as CSV: the six columns of the product page, or all; newest first.

    The header ``Link`` has the address of the manifest, to check that nothing was cut off.
    """
    return await _download(request, viewer, filter, "csv", columns)


@router.get(
    "/v1/audit-entries.ndjson",
    response_class=StreamingResponse,
    responses={200: {"content": {MEDIA_TYPES["ndjson"]: {}}}},
    dependencies=[Bounded],
)
async def as_ndjson(request: Request, viewer: Exporter, filter: Filter = "") -> StreamingResponse:
    """Download entries as lines of JSON, without any loss; newest first."""
    return await _download(request, viewer, filter, "ndjson", "all")


def _order(
    at: datetime,
    through_seq: Annotated[int, Query(ge=0, le=SEQ_MAX)],
    form: Form = "csv",
    columns: Columns = "six",
    filter: Filter = "",
) -> Order:
    """Return the export that is asked about."""
    if at.year not in YEARS:
        raise Problem("request_invalid", "at: no export began then")
    at = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
    return Order(filter, form, columns, at, through_seq)


@router.get("/v1/exports/manifest", dependencies=[Bounded])
async def manifest(
    request: Request, viewer: Exporter, order: Annotated[Order, Depends(_order)]
) -> StreamingResponse:
    """Return what a complete export has: rows, SHA-256 of its bytes when unpacked, numbers.

    All of it is of so many ``bytes`` from the beginning: of the whole file, or, with
    ``purged_before``, of what it has from that instant on. Older entries may be purged by now.

    That takes as long as the export did. Ends of lines come meanwhile, before the JSON, so that
    nobody on the way gives up waiting.
    """
    services = _services(request)
    purged_before = await _purged_before(services, order)
    await services.self_audit.counted(viewer, parse(order.filter))
    summed = _summed(order, services, viewer.org_id, purged_before)
    return Stream(summed, media_type="application/json")


async def _summed(
    order: Order, services: Services, org_id: str, purged_before: datetime | None
) -> AsyncIterator[bytes]:
    """Yield the end of a line for each piece of an export, and then its manifest."""
    rows, size, digest, firsts, lasts = 0, 0, sha256(), [], []
    async for piece in order.pieces(services, org_id, purged_before):
        rows += piece.rows
        size += len(piece.text)
        digest.update(piece.text)
        yield b"\n"
        if piece.first_seq is not None and piece.last_seq is not None:
            firsts.append(piece.first_seq)
            lasts.append(piece.last_seq)
    yield orjson.dumps(
        {
            "org_id": org_id,
            **order.described(),
            "rows": rows,
            "bytes": size,
            "sha256": digest.hexdigest(),
            "first_seq": min(firsts, default=None),
            "last_seq": max(lasts, default=None),
            "purged_before": purged_before,
            "apostrophes": export.RULE if order.form == "csv" else None,
        },
        option=orjson.OPT_UTC_Z,
    )


async def _purged_before(services: Services, order: Order) -> datetime | None:
    """Return before when entries of an export may be purged, None where none is: by whole days.

    Raises Problem where that is all of them.
    """
    now, oldest = await services.oldest()
    if order.at > now:
        raise Problem("request_invalid", "at: this time is in the future")
    reached = reach(parse(order.filter).at(order.at), now=order.at, oldest=order.oldest(services))
    kept = oldest.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if reached.since >= kept:
        return None
    if reached.until <= kept:
        raise Problem("request_invalid", "its entries may have been purged by now: export again")
    return kept


async def _download(
    request: Request, viewer: Viewer, text: str, form: Form, columns: Columns
) -> StreamingResponse:
    """Begin an export, after the log has been told of it."""
    services, query = _services(request), parse(text)
    now, head = await services.reader.now(), await feed.head(services.reader, viewer.org_id)
    order = Order(text, form, columns, now, head)
    await services.self_audit.exported(viewer, query, form)
    texts = _counted(order, services, viewer.org_id)
    headers = _headers(order, viewer.org_id)
    if _GZIP.search(request.headers.get("accept-encoding", "")):
        texts = _compressed(texts)
        headers["Content-Encoding"] = "gzip"
    return Stream(texts, headers=headers, media_type=MEDIA_TYPES[form])


async def _counted(order: Order, services: Services, org_id: str) -> AsyncIterator[bytes]:
    """Yield the text of an export, counted as it goes."""
    with metrics.exporting(order.form):
        async for piece in order.pieces(services, org_id):
            metrics.exported(order.form, piece.rows, len(piece.text))
            yield piece.text


def _headers(order: Order, org_id: str) -> dict[str, str]:
    """Return what a download says of itself."""
    name = f"hub-audit-{org_id}-{order.at:%Y%m%dT%H%M%SZ}.{order.form}"
    address = f"/v1/exports/manifest?{urlencode(order.described())}"
    return {
        "Content-Disposition": f'attachment; filename="{name}"',
        "Link": f'<{address}>; rel="describedby"; type="application/json"',
        "Cache-Control": "no-store",
        "Vary": "Accept-Encoding",
    }


async def _compressed(texts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield a gzip stream, flushed piece by piece so that a download moves."""
    packer = zlib.compressobj(1, wbits=_GZIP_WINDOW)
    async for text in texts:
        yield packer.compress(text) + packer.flush(zlib.Z_SYNC_FLUSH)
    yield packer.flush()


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services
