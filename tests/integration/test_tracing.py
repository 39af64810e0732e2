"""Traces: one span a batch, linked to what it carries; nothing of it without the extra."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from processor import tracing
from processor.local.port import free_port
from processor.settings import Settings, Tracing
from tests.integration import bus
from tests.integration.collector import Collector, attributes, collecting
from tests.integration.ops import cleaned, settings_of
from tests.integration.test_process import command, login, publish, until, worker

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{SPAN}-01"


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Give a collector; nothing is traced any more afterwards."""
    with collecting() as running:
        yield running
        tracing.end()


def some(number: int) -> bytes:
    """Return the context of one of many traces."""
    return f"00-{number + 1:032x}-{number + 1:016x}-01".encode()


def test_batch_is_one_span_with_bounded_links(collector: Collector) -> None:
    """However many records: one span, 32 links, each trace once, and counts as attributes."""
    tracing.begin(Tracing(enabled=True, endpoint=collector.endpoint), "process", "0.1.0")
    with tracing.batch(3, 2_000) as span:
        span.holds([None, *(some(number // 2) for number in range(2_000))])
        span.counted({"entries": 1_990, "duplicates": 10})
    tracing.end()
    (sent,) = collector.spans()
    assert collector.services() == {"hub-audit-process"}
    assert sent.name == "hub_audit batch"
    assert len(sent.links) == 32
    assert sent.links[1].trace_id.hex() == f"{2:032x}"
    assert attributes(sent) == {
        "hub_audit.lane": 3,
        "hub_audit.records": 2_000,
        "hub_audit.traces": 1_000,
        "hub_audit.entries": 1_990,
        "hub_audit.duplicates": 10,
    }


def failed() -> None:
    """Have a batch fail with an error that quotes somebody's data."""
    with tracing.batch(3, 1):
        raise RuntimeError("ada@acme.example")


def test_failed_batch_says_its_kind_and_no_text(collector: Collector) -> None:
    """An error's text may hold anything: a person's address does not go to a collector."""
    tracing.begin(Tracing(enabled=True, endpoint=collector.endpoint), "process", "0.1.0")
    with pytest.raises(RuntimeError):
        failed()
    tracing.end()
    (sent,) = collector.spans()
    assert attributes(sent)["error.type"] == "RuntimeError"
    assert sent.status.code == 2
    assert b"acme" not in sent.SerializeToString()


def test_nothing_is_traced_unless_wanted() -> None:
    """Switched off, a batch has a span that does nothing."""
    tracing.begin(Tracing(), "process", "0.1.0")
    with tracing.batch(3, 1) as span:
        span.holds([some(1)])
        span.counted({"entries": 1})
    assert isinstance(span, tracing.NoSpan)


def python(program: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a Python of its own."""
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )


def test_worker_imports_nothing_of_it() -> None:
    """Whoever does not trace does not load a line of OpenTelemetry."""
    done = python(
        "import sys, processor.worker, processor.tracing as t\n"
        "from processor.settings import Tracing\n"
        "t.begin(Tracing(), 'process', '0')\n"
        "print([m for m in sys.modules if m.startswith('opentelemetry')])"
    )
    assert done.stdout == "[]\n", done.stderr


def test_without_the_extra_the_start_is_refused() -> None:
    """One message names what to install and what to unset."""
    done = python(
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from processor import tracing\n"
        "from processor.errors import StartRefused\n"
        "from processor.settings import Tracing\n"
        "try: tracing.begin(Tracing(enabled=True), 'process', '0')\n"
        "except StartRefused as refused: print(refused.problems)"
    )
    assert done.stdout == f"{[tracing.NOT_INSTALLED]}\n", done.stderr


@pytest.mark.timeout(150)
def test_trace_goes_from_the_raw_record_to_the_canonical_event(
    kafka: str,
    postgres_dsn: str,
    collector: Collector,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The event carries on the trace it came with, and the batch's span is linked to it."""
    monkeypatch.setenv("HUB_AUDIT_TRACING_ENABLED", "true")
    monkeypatch.setenv("HUB_AUDIT_TRACING_ENDPOINT", collector.endpoint)
    own = settings_of(kafka, postgres_dsn, HTTP_PORT=str(free_port()))
    with cleaned(own) as settings:
        assert command(settings, "topics", "create").returncode == 0
        with worker(settings, tmp_path / "process.log") as process:
            publish(settings, login() | {"traceparent": TRACEPARENT})
            headers = _headers_of_the_event(settings)
            process.terminate()
            assert process.wait(30) == 0
    assert (headers["ce_traceparent"], headers["traceparent"]) == (TRACEPARENT.encode(),) * 2
    (sent,) = collector.spans()
    assert [(link.trace_id.hex(), link.span_id.hex()) for link in sent.links] == [(TRACE, SPAN)]
    assert attributes(sent)["hub_audit.entries"] == 1


def _headers_of_the_event(settings: Settings) -> dict[str, bytes]:
    topic = settings.topic("hub.auth.login_success")
    until(lambda: len(bus.read(settings.kafka.bootstrap_servers, [topic])) == 1, "canonical")
    (event,) = bus.read(settings.kafka.bootstrap_servers, [topic])
    return bus.headers_of(event)
