"""What `serve` counts: requests, exports, and how far the log is complete."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from processor.metrics.declare import Of

REQUEST_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.0, 5.0)
"""1 s is the objective for 99 % of requests."""

_of = Of("serve")

REQUESTS = _of.histogram(
    "request_seconds",
    "Time until the answer to a request begins, by route and status.",
    "route",
    "status",
    buckets=REQUEST_SECONDS,
)
IN_FLIGHT = _of.gauge("requests_in_flight", "Requests whose answer has not begun.")
EXPORTS = _of.counter("exports_total", "Exports begun.", "form")
EXPORTED = _of.counter("exported_rows_total", "Rows that went out in exports.", "form")
EXPORTED_BYTES = _of.counter(
    "exported_bytes_total", "Bytes of exports, before they are compressed.", "form"
)
CUT_OFF = _of.counter("exports_cut_off_total", "Exports that ended before their last row.", "form")
EXPORTING = _of.gauge("exports_running", "Exports being made.")

TAILS_CUT_OFF = _of.counter("tails_cut_off_total", "Live tails that an outage ended.")
ISSUER_AWAY = _of.gauge(
    "issuer_away_seconds",
    "For how long the issuer was asked for its keys in vain; 0 if it gives them.",
)


def watch_issuer(away_seconds: Callable[[], float]) -> None:
    """Have told, whenever somebody looks, for how long the issuer has been away."""
    ISSUER_AWAY.set_function(away_seconds)


def requested(route: str, status: int, seconds: float) -> None:
    """Count a request and how long its answer took."""
    REQUESTS.labels(route, str(status)).observe(seconds)


@contextmanager
def exporting(form: str) -> Iterator[None]:
    """Count an export for as long as it takes; one that does not come to its end is cut off."""
    EXPORTS.labels(form).inc()
    EXPORTING.inc()
    try:
        yield
    except BaseException:
        CUT_OFF.labels(form).inc()
        raise
    finally:
        EXPORTING.dec()


def tail_cut_off() -> None:
    """Count a live tail that an outage ended."""
    TAILS_CUT_OFF.inc()


def exported(form: str, rows: int, size: int) -> None:
    """Count a piece of an export."""
    EXPORTED.labels(form).inc(rows)
    EXPORTED_BYTES.labels(form).inc(size)
