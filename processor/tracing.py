"""Traces of the write path, where the extra ``hub-audit[otel]`` is installed and it is wanted.

One span for each batch and never one for each record: it carries counts, and links to the traces of
some of its records. Nothing of OpenTelemetry is imported unless tracing is switched on.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from typing import Any, Protocol

from processor.errors import StartRefused
from processor.settings import Tracing

LINKS_MAX = 32
"""Of a span: a batch has up to 10,000 records, and a collector takes 128 links by default."""

FLUSH_MILLISECONDS = 2_000

NOT_INSTALLED = (
    "tracing.enabled: OpenTelemetry is not installed: run `pip install 'hub-audit[otel]'`, or unset"
    " HUB_AUDIT_TRACING_ENABLED"
)


class Span(Protocol):
    """What is told of a batch while it is on its way."""

    def holds(self, traceparents: Iterable[bytes | None]) -> None:
        """Link the batch to the traces of its records."""

    def counted(self, counts: Mapping[str, int]) -> None:
        """Note how the records of the batch ended."""


class NoSpan:
    """Of a batch that nobody traces."""

    def holds(self, traceparents: Iterable[bytes | None]) -> None:
        """Do nothing."""

    def counted(self, counts: Mapping[str, int]) -> None:
        """Do nothing."""


class LinkedSpan:
    """A span of OpenTelemetry."""

    def __init__(self, span: Any) -> None:
        """Hold the span."""
        self._span = span

    def holds(self, traceparents: Iterable[bytes | None]) -> None:
        """Link the batch to the first of the traces of its records, each once."""
        from opentelemetry.trace import SpanContext, TraceFlags  # noqa: PLC0415 - an extra

        distinct = dict.fromkeys(each for each in traceparents if each is not None)
        for traceparent in islice(distinct, LINKS_MAX):
            _, trace_id, span_id, flags = traceparent.split(b"-")
            context = SpanContext(
                int(trace_id, 16),
                int(span_id, 16),
                is_remote=True,
                trace_flags=TraceFlags(int(flags, 16)),
            )
            self._span.add_link(context)
        self._span.set_attribute("hub_audit.traces", len(distinct))

    def counted(self, counts: Mapping[str, int]) -> None:
        """Note the counts as attributes."""
        for name, count in counts.items():
            self._span.set_attribute(f"hub_audit.{name}", count)


class _Traced:
    """Where spans go; nowhere until ``begin``."""

    provider: Any = None
    tracer: Any = None


_traced = _Traced()


def begin(settings: Tracing, process: str, release: str) -> None:
    """Have batches traced from now on, if that is wanted; raises StartRefused without the extra."""
    if not settings.enabled:
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
            OTLPSpanExporter,
        )
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import SpanLimits, TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        from opentelemetry.sdk.trace.sampling import TraceIdRatioBased  # noqa: PLC0415
    except ImportError as error:
        raise StartRefused([NOT_INSTALLED]) from error
    # It says every five seconds that a collector is away: that is the collector's alarm, not ours.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    provider = TracerProvider(
        resource=Resource.create(
            {"service.name": f"hub-audit-{process}", "service.version": release}
        ),
        sampler=TraceIdRatioBased(settings.ratio),
        span_limits=SpanLimits(max_links=LINKS_MAX),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=settings.endpoint)))
    _traced.provider, _traced.tracer = provider, provider.get_tracer("hub_audit", release)


def end() -> None:
    """Send what is left, in bounded time, and trace no more."""
    provider, _traced.provider, _traced.tracer = _traced.provider, None, None
    if provider is not None:
        provider.force_flush(FLUSH_MILLISECONDS)
        provider.shutdown()


@contextmanager
def batch(lane: int, records: int) -> Iterator[Span]:
    """Trace a batch for the length of a block; what ends it early is noted by its kind alone."""
    if _traced.tracer is None:
        yield NoSpan()
        return
    attributes = {"hub_audit.lane": lane, "hub_audit.records": records}
    span = _traced.tracer.start_span("hub_audit batch", attributes=attributes)
    try:
        yield LinkedSpan(span)
    except BaseException as error:
        _failed(span, type(error).__name__)
        raise
    finally:
        span.end()


def _failed(span: Any, kind: str) -> None:
    """Mark a span; an error's text may hold anything, so it is left out."""
    from opentelemetry.trace import Status, StatusCode  # noqa: PLC0415 - an extra

    span.set_attribute("error.type", kind)
    span.set_status(Status(StatusCode.ERROR))
