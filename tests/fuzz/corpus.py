"""What is mutated: every example, real events of other products, and the fault runs' own load."""

import json
from functools import cache
from itertools import islice
from pathlib import Path

from tests.faults.load import Generator, Mix

ROOT = Path(__file__).resolve().parents[2]
NOW_MS = 1_795_428_000_000
Sample = tuple[str, bytes, list[tuple[str, bytes]]]
TYPES = ("identity.login.succeeded.v1", "permission.role.created.v1", "identity.user.updated.v1")

QUERIES = (
    "action:user.created actor:ann@example.org",
    'category:users -outcome:failure "free text" after:2026-11-01 before:2026-12-01',
    "ip:10.0.0.0/8 severity:>=5 target:u-1 seq:1..99 session:s-1",
    "action:product_access.revoked,role.assigned last:30d",
    'target_type:user id:01a20756-8154-80df-a5ad-a9553dd39771 -"a \\" quote"',
)


@cache
def samples() -> list[Sample]:
    """Return topic, value and headers of every sample."""
    examples = sorted((ROOT / "schemas/examples/raw").glob("*.json"))
    shots = islice(Generator(Mix(seed=5, now_ms=NOW_MS)).shots(), 400)
    real = sorted((ROOT / "tests/realdata").rglob("*json"))
    return [
        *((_topic(path.name), path.read_bytes(), []) for path in examples),
        *((shot.line["topic"], shot.value, list(shot.headers)) for shot in shots if shot.value),
        *(("raw.identity", value, []) for path in real for value in _wrapped(path)),
    ]


def _topic(name: str) -> str:
    return f"raw.{name.partition('.')[0]}"


def _wrapped(path: Path) -> list[bytes]:
    """Put real events of other products into our envelope, as data of various types."""
    lines = path.read_text().splitlines() if path.suffix == ".ndjson" else [path.read_text()]
    wrapped = []
    for number, line in enumerate(lines[:6]):
        event = json.loads(line)
        envelope = {
            "specversion": "1.0",
            "id": f"{path.stem}-{number}",
            "source": "/hub/identity",
            "type": TYPES[number % len(TYPES)],
            "time": "2026-11-23T10:00:00Z",
            "orgid": "acme",
            "data": event.get("event", event),
        }
        wrapped.append(json.dumps(envelope).encode())
    return wrapped
