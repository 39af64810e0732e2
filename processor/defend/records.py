"""Records of the bus to observations: total, whatever stands on a topic. Pure."""

from typing import Any, Literal

import orjson
from pydantic import ValidationError

from processor.defend.detector import Observation
from processor.defend.rules import of_alert, of_entry
from processor.normalize.instant import DAY_MS
from processor.store.findings import Alert
from schemas.entry import SCHEMA_VERSION
from schemas.telemetry import TELEMETRY

REPORT_BYTES_MAX = 64 * 1024
"""A report says a few hundred bytes; what is larger is none."""

Refusal = Literal["empty", "too_large", "invalid", "in_future"]
Unused = Literal["late", "benign"]


def of_canonical(value: bytes | None) -> Observation | Refusal | Unused:
    """Return what an entry's canonical event tells, or why it tells nothing."""
    if not value:
        return "empty"
    try:
        entry: Any = orjson.loads(value)
    except orjson.JSONDecodeError:
        return "invalid"
    if not isinstance(entry, dict) or entry.get("schema_version") != SCHEMA_VERSION:
        return "invalid"
    signal = of_entry(entry)  # type: ignore[arg-type] # ours alone to write
    return "late" if signal is None else Observation(entry["org_id"], signal)


def of_telemetry(value: bytes | None, told_ms: int) -> Observation | Refusal | Unused:
    """Return what an endpoint's report tells, or why it tells nothing."""
    if not value:
        return "empty"
    if len(value) > REPORT_BYTES_MAX:
        return "too_large"
    try:
        report = TELEMETRY.validate_json(value)
        signal = of_alert(report, told_ms)
    except (ValidationError, ValueError):
        return "invalid"
    if signal is None:
        return "benign" if report["verdict"] == "benign" else "late"
    if signal.at_ms - told_ms > DAY_MS:
        return "in_future"
    kept = Alert(report["orgid"], signal.id, signal.at_ms, told_ms, report)
    return Observation(report["orgid"], signal, kept)
