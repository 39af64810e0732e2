"""ArcSight Common Event Format: an entry as one line, inside an RFC 5424 message."""

from collections.abc import Callable
from typing import Any, NamedTuple

from processor.siem.heartbeat import ACTION, LABEL, Heartbeat
from processor.siem.moment import epoch_ms
from processor.siem.reading import Party, Reading, read
from processor.siem.syslog import message, on_one_line
from schemas.entry import Entry

DEVICE = ("Hub", "Hub Audit", "1")
"""Vendor, product and version: the version of the entry's schema."""

GAPS_MAX = 30
"""In one heartbeat: as text they stand in ``cs4``, whose limit is 4,000 bytes."""

_WITH_OWN_KEY = frozenset({"user", "role", "product"})


class Extension(NamedTuple):
    """One key of the extension; ``limit`` is in bytes of UTF-8, before anything is escaped."""

    key: str
    limit: int
    says: str
    value: Callable[[Reading], Any]
    label: str | None = None


def _name(party: Party) -> str | None:
    return party.get("email") or party.get("name")


def _target(reading: Reading) -> Party:
    return reading.account or {}


def _role(reading: Reading) -> str | None:
    """Return the role that a user got, lost or has now, or that itself got or lost something."""
    details = reading.entry["details"]
    holder: Party = details.get("grantee") or reading.entry["target"]
    role: Party = details.get("role") or (holder if holder.get("type") == "role" else {})
    name = role.get("name") or role.get("id") or reading.detail("new", "role")
    return name if isinstance(name, str) else None


def _product(reading: Reading) -> str | None:
    target = reading.entry["target"]
    return target.get("name") if target["type"] == "product" else None


def _thing(reading: Reading) -> str | None:
    """Return the name of a target that has no key of its own."""
    target = reading.entry["target"]
    return None if target["type"] in _WITH_OWN_KEY else target.get("name")


def _source(reading: Reading, *, v6: bool) -> str | None:
    """Return the address in the key of its kind: ``src`` of CEF:0 knows IPv4 alone."""
    ip = reading.entry.get("ip")
    return ip if ip is not None and (":" in ip) == v6 else None


EXTENSION = (
    Extension(
        "rt", 20, "`occurred_at` in milliseconds", lambda r: epoch_ms(r.entry["occurred_at"])
    ),
    Extension("externalId", 40, "`entry_id`", lambda r: r.entry["entry_id"]),
    Extension("cn1", 20, "`seq`", lambda r: r.entry["seq"], "Sequence"),
    Extension("act", 63, "`action`", lambda r: r.entry["action"]),
    Extension("outcome", 63, "`outcome`", lambda r: r.entry["outcome"]),
    Extension("reason", 1023, "`outcome_reason`, else `details.reason`", lambda r: r.reason),
    Extension("cat", 1023, "`category`", lambda r: r.entry["category"]),
    Extension("suser", 1023, "`actor.email`, else `actor.name`", lambda r: _name(r.entry["actor"])),
    Extension("suid", 1023, "`actor.id`", lambda r: r.entry["actor"].get("id")),
    Extension("spriv", 1023, "`actor.type`", lambda r: r.entry["actor"]["type"]),
    Extension("duser", 1023, "the user concerned, if known", lambda r: _name(_target(r))),
    Extension("duid", 1023, "the user concerned, if known", lambda r: _target(r).get("id")),
    Extension(
        "dpriv",
        1023,
        "name, else id, of the role that was given or taken, or that itself changed, got or lost"
        " something; else `details.new.role`",
        _role,
    ),
    Extension("destinationServiceName", 1023, "`target.name` of a product", _product),
    Extension("fname", 1023, "`target.name` of what is no user, role or product", _thing),
    Extension("src", 16, "`ip`, of version 4", lambda r: _source(r, v6=False)),
    Extension(
        "c6a2", 40, "`ip`, of version 6", lambda r: _source(r, v6=True), "Source IPv6 Address"
    ),
    Extension("spt", 5, "`ip_port`", lambda r: r.entry.get("ip_port")),
    Extension("shost", 1023, "`ip_raw`: what was sent as address", lambda r: r.entry.get("ip_raw")),
    Extension(
        "sourceServiceName", 1023, "`source.service`", lambda r: r.entry["source"]["service"]
    ),
    Extension(
        "requestClientApplication", 1023, "`user_agent`", lambda r: r.entry.get("user_agent")
    ),
    Extension("cs1", 4000, "`org_id`", lambda r: r.entry["org_id"], "Organization"),
    Extension("cs2", 4000, "`target.type`", lambda r: r.entry["target"]["type"], "Target Type"),
    Extension("cs3", 4000, "`target.id`", lambda r: r.entry["target"].get("id"), "Target ID"),
    Extension("cs4", 4000, "`details.old` as JSON", lambda r: r.text("old"), "Old Value"),
    Extension("cs5", 4000, "`details.new` as JSON", lambda r: r.text("new"), "New Value"),
    Extension("cs6", 4000, "`trace_id`", lambda r: r.entry.get("trace_id"), "Trace ID"),
    Extension(
        "flexString1", 1023, "`session_id`", lambda r: r.entry.get("session_id"), "Session ID"
    ),
    Extension(
        "flexString2",
        1023,
        "`correlation_id`",
        lambda r: r.entry.get("correlation_id"),
        "Correlation ID",
    ),
)
"""Every key that an extension may have; one with a label has it in ``<key>Label``."""


def line(entry: Entry) -> bytes:
    """Return an entry as a syslog message whose text is CEF."""
    reading = read(entry)
    row = reading.row
    parts = []
    for key, limit, _, value_of, label in EXTENSION:
        value = value_of(reading)
        if value is None or value == "":
            continue
        parts.append(f"{key}={_value(cut(str(value), limit))}")
        if label is not None:
            parts.append(f"{key}Label={label}")
    text = f"{_header(row.name, row.label, entry['severity'])}{' '.join(parts)}"
    data = {
        "org": entry["org_id"],
        "seq": str(entry["seq"]),
        "id": entry["entry_id"],
        "outcome": entry["outcome"],
    }
    return message(entry["occurred_at"], row.syslog, row.msgid, data, text)


def heartbeat(beat: Heartbeat) -> bytes:
    """Return a heartbeat as the same kind of line, of the lowest severity."""
    parts = (
        f"rt={epoch_ms(beat.at)}",
        # The organization stands in cs1: with it, an id could be longer than its 40 bytes.
        f"externalId={cut(f'heartbeat-{beat.number}', 40)}",
        f"cn1={beat.through_seq} cn1Label=Through Sequence",
        f"cn2={beat.previous_seq} cn2Label=Previous Sequence",
        f"act={ACTION}",
        f"cs1={_value(beat.org_id)} cs1Label=Organization",
        f"cs4={_value(beat.gaps_text)} cs4Label=Gaps",
    )
    data = {"org": beat.org_id, "through": str(beat.through_seq)}
    text = f"{_header(ACTION, LABEL, 0)}{' '.join(parts)}"
    return message(beat.at, "info", ACTION, data, text)


def cut(value: str, limit: int) -> str:
    """Return as much of a text as fits into so many bytes, in whole characters."""
    encoded = value.encode()
    return value if len(encoded) <= limit else encoded[:limit].decode(errors="ignore")


def _header(signature: str, name: str, severity: int) -> str:
    fields = (*DEVICE, signature, name, str(severity))
    return "CEF:0|" + "".join(_field(each) + "|" for each in fields)


def _field(value: str) -> str:
    return on_one_line(value).replace("\\", "\\\\").replace("|", "\\|")


def _value(value: str) -> str:
    """Escape what has a meaning; an end of line is the two characters that stand for it."""
    escaped = value.replace("\\", "\\\\").replace("=", "\\=")
    return on_one_line(escaped.replace("\r", "\\r").replace("\n", "\\n"))
