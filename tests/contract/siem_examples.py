"""The SIEM examples: how the entry of every action reads in every format.

``python -m tests.contract.siem_examples`` writes them after a change that was meant.
"""

import json
from typing import Any

from processor.emit.route import partition_of
from processor.ingest.decode import decode
from processor.normalize import normalize
from processor.siem import FORMATS
from processor.siem.heartbeat import Gap, Heartbeat
from schemas.catalogue import CATALOGUE, FormatName
from schemas.entry import Entry
from schemas.generate import ROOT
from schemas.raw.envelope import Event
from schemas.record import RawRecord
from schemas.rejection import Discard, Rejection
from tests.contract.canonical_examples import LANES, LIMITS, RAW, RECORDED_MS

SIEM = ROOT / "examples" / "siem"
FOREIGN: tuple[FormatName, ...] = ("ocsf", "ecs", "cef")
"""How Hub itself renders an entry is shown by the canonical examples."""

HEARTBEAT = Heartbeat("acme", 31, 28, [Gap(30, 30, "retention")], "2026-11-23T12:05:00.000Z")

_GRANTS = "permission.grants.changed.v1"
_USER = {"type": "user", "id": "u-1002", "email": "max.member@acme.example"}
_ADMIN = {"type": "user", "id": "u-1001", "email": "olivia.owner@acme.example"}
_ROLE = {"type": "role", "id": "r-12", "name": "Billing Admin"}

# What the raw examples do not show: by name the raw example, and what of its data is different.
_VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "permission.granted.user": (_GRANTS, {"target": _USER}),
    "permission.revoked": (
        _GRANTS,
        {"target": _USER, "added": [], "removed": ["invoice.download", "plan.change"]},
    ),
    "permission.revoked.role": (_GRANTS, {"added": [], "removed": ["invoice.download"]}),
    "permission.bulk_updated": (
        _GRANTS,
        {"target": _USER, "added": ["audit.view"], "removed": ["plan.change"], "bulk": True},
    ),
    "permission.bulk_updated.role": (_GRANTS, {"removed": ["plan.change"], "bulk": True}),
    "product_access.granted.role": ("permission.product_access.changed.v1", {"grantee": _ROLE}),
    "user.created.failure": (
        "identity.user.created.v1",
        {"outcome": "failure", "reason": "seat limit | reached"},
    ),
    "role.assigned.failure": (
        "permission.role_binding.changed.v1",
        {"outcome": "failure", "reason": "not_permitted"},
    ),
    "user.invited.ipv6": (
        "identity.user.invited.v1",
        {"client": {"ip": "2001:db8::7", "user_agent": 'tool=1 "x" \\ ]'}},
    ),
    "auth.logout.forced": (
        "identity.session.ended.v1",
        {"cause": "admin_logout", "actor": _ADMIN, "session_id": "s-9b1c"},
    ),
    "auth.session_expired.revoked": (
        "identity.session.ended.v1",
        {"cause": "revoked", "actor": _ADMIN, "session_id": "s-9b1d"},
    ),
}


def entries() -> dict[str, Entry]:
    """Return by name an entry of every action, and of what else deserves an example."""
    made: dict[str, Entry] = {}
    for offset, path in enumerate(RAW):
        entry = _entry(path.name, offset, {})
        if entry is not None:
            made[entry["action"]] = entry
    for offset, (name, (example, changed)) in enumerate(_VARIANTS.items(), len(RAW)):
        entry = _entry(f"{example}.json", offset, changed)
        if entry is None:
            raise AssertionError(f"{name} is no audit event")
        made[name] = entry
    for seq, entry in enumerate(made.values(), 1):
        entry["seq"] = seq
    if missing := CATALOGUE.keys() - made.keys():
        raise AssertionError(f"no example of {sorted(missing)}")
    return dict(sorted(made.items()))


def _entry(example: str, offset: int, changed: dict[str, Any]) -> Entry | None:
    """Return what a raw example becomes when its data differs in this; None if it is discarded."""
    value = (ROOT / "examples" / "raw" / example).read_bytes()
    if changed:
        raw = json.loads(value)
        value = json.dumps(
            raw | {"id": f"{raw['id']}-{offset}", "data": raw["data"] | changed}
        ).encode()
    topic = "raw." + example.partition(".")[0]
    record = RawRecord(topic, partition_of("acme", LANES), offset, RECORDED_MS, b"acme", value)
    event = decode(record, "raw.redrive")
    outcome = normalize(event, LIMITS) if isinstance(event, Event) else event
    if isinstance(outcome, Rejection):
        raise AssertionError(f"{example}: {outcome}")  # noqa: TRY004 - a value, not a type
    return None if isinstance(outcome, Discard) else outcome


def documents() -> dict[str, str]:
    """Return by path below the examples how each entry, and a heartbeat, reads in each format."""
    files: dict[str, str] = {}
    made = entries()
    for name in FOREIGN:
        shown = _as_line if name == "cef" else _as_document
        suffix = "log" if name == "cef" else "json"
        rendered = {which: FORMATS[name].render(entry) for which, entry in made.items()}
        rendered["heartbeat"] = FORMATS[name].heartbeat(HEARTBEAT)
        files |= {f"{name}/{which}.{suffix}": shown(value) for which, value in rendered.items()}
    return files


def _as_line(value: bytes) -> str:
    return value.decode() + "\n"


def _as_document(value: bytes) -> str:
    return json.dumps(json.loads(value), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write every example and remove what is stale."""
    files = documents()
    for path in set(SIEM.rglob("*.*")) - {SIEM / name for name in files}:
        path.unlink()
    for name, text in files.items():
        path = SIEM / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
