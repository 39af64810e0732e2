"""The canonical examples: what the raw examples become, at coordinates that stay the same.

``python -m tests.contract.canonical_examples`` writes them after a change that was meant.
"""

import json
from pathlib import Path
from typing import Any

from processor.emit.route import canonical, partition_of
from processor.ingest.decode import decode
from processor.normalize import Limits, normalize
from schemas.generate import ROOT
from schemas.raw import FAMILIES
from schemas.raw.envelope import Event
from schemas.record import RawRecord
from schemas.rejection import Discard, Rejection

RAW = sorted((ROOT / "examples" / "raw").glob("*.json"))
CANONICAL = ROOT / "examples" / "canonical"
RECORDED_MS = 1_795_435_200_000  # 2026-11-23T12:00:00Z, two hours after the first example
LANES = 12
LIMITS = Limits(
    retention_ms=90 * 86_400_000,
    oldest_day_ms=0,
    families={f"raw.{family}": family for family in FAMILIES},
)


def outcome(path: Path, offset: int) -> Any:
    """Return what a raw example becomes when it is the record at this offset."""
    topic = "raw." + path.name.partition(".")[0]
    lane = partition_of("acme", LANES)
    record = RawRecord(topic, lane, offset, RECORDED_MS, b"acme", path.read_bytes())
    event = decode(record, "raw.redrive")
    return normalize(event, LIMITS) if isinstance(event, Event) else event


def documents() -> dict[str, str]:
    """Return by file name the canonical event of every raw example that becomes one."""
    files: dict[str, str] = {}
    for offset, path in enumerate(RAW):
        entry = outcome(path, offset)
        if isinstance(entry, Rejection):
            raise AssertionError(f"{path.name}: {entry}")  # noqa: TRY004 - a value, not a type
        if isinstance(entry, Discard):
            continue
        entry["seq"] = len(files) + 1
        sent = canonical(entry)
        files[f"{sent.topic}.json"] = _text(
            {
                "topic": sent.topic,
                "key": (sent.key or b"").decode(),
                "headers": {name: (value or b"").decode() for name, value in sent.headers},
                "value": json.loads(sent.value or b""),
            }
        )
    return files


def _text(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    CANONICAL.mkdir(parents=True, exist_ok=True)
    for name, text in documents().items():
        (CANONICAL / name).write_text(text, encoding="utf-8")
