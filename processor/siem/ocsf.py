"""Open Cybersecurity Schema Framework 1.8.0: an entry as an event of its class."""

import re
from collections.abc import Mapping
from typing import Any

import orjson

from processor.siem.fields import Field, always, compiled, filled, of
from processor.siem.heartbeat import ACTION, LABEL, Heartbeat
from processor.siem.moment import epoch_ms
from processor.siem.reading import Party, Reading, read
from schemas.catalogue import OCSF_CATEGORIES, OCSF_CLASSES, OCSF_SEVERITIES, ocsf_severity
from schemas.entry import Entry

VERSION = "1.8.0"

ACCOUNT_CHANGE, AUTHENTICATION, ENTITY, ACCESS, API = 3001, 3002, 3004, 3005, 6003

_OTHER = 99
_USER_ENTITY = 2
_SHA256 = 3
_IP_OBSERVABLE, _EMAIL_OBSERVABLE = 2, 5
_STATUS = {"success": (1, "Success"), "failure": (2, "Failure")}
_USER_TYPES = {"user": (1, "User"), "system": (3, "System"), "service": (4, "Service")}
_PRODUCT = {"name": "Hub Audit", "vendor_name": "Hub"}

# The type email_t of OCSF's dictionary; an address that does not fit stands in the name alone.
_EMAIL = re.compile(r"[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~.]+@[A-Za-z0-9-]+\.[A-Za-z0-9.-]+", re.ASCII)

_TOKEN = re.compile(r"[a-z][a-z_]*")
_LOGOFFS = frozenset({"auth.logout", "auth.session_expired"})
_FAILURES = {
    "unknown_account": "USER_DOES_NOT_EXIST",
    "locked": "ACCOUNT_LOCKED_OUT",
    "disabled": "ACCOUNT_DISABLED",
}

Node = dict[str, Any]


def _user(party: Party) -> Node:
    """Return a user; OCSF wants a name or an id of each."""
    type_id, caption = _USER_TYPES.get(party.get("type", ""), (_OTHER, party.get("type")))
    email, uid = party.get("email"), party.get("id")
    name = email or party.get("name") or uid
    if not name:
        return {"name": "Unknown", "type_id": 0, "type": "Unknown"}
    told = {
        "name": name,
        "uid": uid,
        "email_addr": email if email and _EMAIL.fullmatch(email) else None,
        "full_name": party.get("name"),
        "type_id": type_id,
        "type": caption or "Other",
    }
    return {key: value for key, value in told.items() if value is not None}


def _known(party: Party) -> bool:
    return any(party.get(key) for key in ("id", "email", "name"))


def _actor(reading: Reading) -> Node | None:
    """Return who did it; a service without a name of its own is the application it is."""
    entry = reading.entry
    actor, session = entry["actor"], entry.get("session_id")
    node: Node = {"user": _user(actor)} if _known(actor) else {}
    if session and not reading.of_another:
        node["session"] = {"uid": session}
    if not node and (actor["type"] != "anonymous" or _class(reading) == API):
        node["app_name"] = entry["source"]["service"]
    return node or None


def _source(reading: Reading) -> Node | None:
    """Return where it came from; API Activity has to know, so there it is the service at worst."""
    entry = reading.entry
    ip, port, raw = entry.get("ip"), entry.get("ip_port"), entry.get("ip_raw")
    if ip:
        return {"ip": ip} if port is None else {"ip": ip, "port": port}
    if raw:
        return {"name": raw}
    return {"svc_name": entry["source"]["service"]} if _class(reading) == API else None


def _class(reading: Reading) -> int:
    return reading.mapping.ocsf.v1_8.class_uid


def _activity(reading: Reading) -> str:
    """Return what the schema calls the activity, or what we do where it has no word for it."""
    ocsf = reading.mapping.ocsf
    return ocsf.activity_name or OCSF_CLASSES[ocsf.v1_8.class_uid][1][ocsf.v1_8.activity_id]


def _type_name(reading: Reading) -> str:
    ids = reading.mapping.ocsf.v1_8
    class_name, activities = OCSF_CLASSES[ids.class_uid]
    return f"{class_name}: {activities[ids.activity_id]}"


def _status_detail(reading: Reading) -> str | None:
    """Return why, of logins and logouts in OCSF's own words where it has them."""
    row, reason = reading.row, reading.reason
    if row.category != "authentication":
        return reason
    if row.name in _LOGOFFS:
        if not reading.failed:
            by_user = row.name == "auth.logout" and not reading.of_another
            return "LOGOFF_USER_INITIATED" if by_user else "LOGOFF_OTHER"
        # What else is told is why the session was to end.
        reason = reading.entry.get("outcome_reason")
    if reason in _FAILURES:
        return _FAILURES[reason]
    return reason.upper() if reason and _TOKEN.fullmatch(reason) else reason


def _session(reading: Reading) -> Node | None:
    entry = reading.entry
    target = entry["target"]
    uid = target.get("id") if target["type"] == "session" else entry.get("session_id")
    expired = reading.row.name == "auth.session_expired"
    told = {"uid": uid, "expiration_reason": entry["details"].get("reason") if expired else None}
    return {key: value for key, value in told.items() if value} or None


def _privileges(reading: Reading) -> list[str]:
    """Return what was given or taken: of a role its name, of a product the level."""
    if reading.row.category == "roles":
        name = reading.detail("role", "name") or reading.detail("role", "id")
        return [f"role:{name}"] if name else []
    if reading.row.category == "product_access":
        side = "new" if reading.row.name == "product_access.granted" else "old"
        level = reading.detail(side, "level")
        return [f"level:{level}"] if level else []
    told = reading.names("new", "permissions") + reading.names("old", "permissions")
    return list(dict.fromkeys(told))


def _resources(reading: Reading) -> list[Node] | None:
    """Return the product or the part of the audit log that it was about."""
    target: Party = reading.entry["target"]
    if reading.row.category not in {"product_access", "audit"}:
        return None
    told = {
        "name": target.get("name") or (None if target.get("id") else target["type"]),
        "uid": target.get("id"),
        "type": target["type"],
    }
    return [{key: value for key, value in told.items() if value}]


def _entity(reading: Reading, side: str) -> Node:
    """Return the thing that Entity Management is about, with how it was or how it is.

    The class has no resources of its own: what a role has access to is said of the role.
    """
    entry, kind = reading.entry, reading.mapping.ocsf.entity or ""
    party: Mapping[str, Any] = entry["target"]
    if reading.row.category == "product_access":
        party = entry["details"].get("grantee") or {}
    name = party.get("name") or party.get("email")
    data: Any = entry["details"].get(side)
    if resources := _resources(reading):
        data = {"resources": resources} | (data or {})
    elif reading.row.category == "permissions":
        data = _permissions(reading)
    told = {
        "name": name or (None if party.get("id") else kind),
        "uid": party.get("id"),
        "type": kind,
        "type_id": _USER_ENTITY if kind == "User" else _OTHER,
        "user": _user(party) if kind == "User" else None,
        "data": data,
    }
    return {key: value for key, value in told.items() if value is not None}


def _permissions(reading: Reading) -> Node | None:
    """Return what a role lost and got: differences, neither of which is all that it had or has."""
    lost, got = (reading.names(side, "permissions") for side in ("old", "new"))
    told = {"permissions_removed": lost, "permissions_added": got}
    return {key: value for key, value in told.items() if value} or None


def _entity_result(reading: Reading) -> Node | None:
    """Return the thing as it is now: not after a failed attempt, nor where a difference is told."""
    if reading.failed or not reading.entry["details"].get("new"):
        return None
    if reading.row.category == "permissions":
        return None
    return _entity(reading, "new")


def _observables(reading: Reading) -> list[Node] | None:
    """Return the addresses in the event, so that one can pivot on them without knowing classes."""
    found: list[Node] = []
    if ip := reading.entry.get("ip"):
        found.append(_observable("src_endpoint.ip", _IP_OBSERVABLE, "IP Address", ip))
    actor: Party = reading.entry["actor"]
    if (email := actor.get("email")) and _EMAIL.fullmatch(email):
        found.append(
            _observable("actor.user.email_addr", _EMAIL_OBSERVABLE, "Email Address", email)
        )
    email = (reading.account or {}).get("email")
    where = "entity.user" if reading.mapping.ocsf.entity == "User" else "user"
    if (_class(reading) in _OF_A_USER or where != "user") and email and _EMAIL.fullmatch(email):
        found.append(_observable(f"{where}.email_addr", _EMAIL_OBSERVABLE, "Email Address", email))
    return found or None


def _observable(name: str, type_id: int, caption: str, value: str) -> Node:
    return {"name": name, "type_id": type_id, "type": caption, "value": value}


def _service(reading: Reading) -> Node:
    return {"name": reading.entry["source"]["service"]}


def _api(reading: Reading) -> Node:
    request = reading.entry.get("request_id")
    told: Node = {"operation": reading.row.name, "service": _service(reading)}
    return told | ({"request": {"uid": request}} if request else {})


def _flag(reading: Reading, key: str) -> bool | None:
    held = reading.detail("extra", key)
    return held if isinstance(held, bool) else None


_OF_A_USER = frozenset({ACCOUNT_CHANGE, AUTHENTICATION, ACCESS})

COMMON = (
    Field("activity_id", "from the action", lambda r: r.mapping.ocsf.v1_8.activity_id),
    Field("activity_name", "the schema's caption; ours where the id is 99", _activity),
    Field("category_uid", "from the action", lambda r: r.mapping.ocsf.v1_8.category_uid),
    Field(
        "category_name",
        "the schema's caption",
        lambda r: OCSF_CATEGORIES[r.mapping.ocsf.v1_8.category_uid],
    ),
    Field("class_uid", "from the action", _class),
    Field("class_name", "the schema's caption", lambda r: OCSF_CLASSES[_class(r)][0]),
    Field("type_uid", "class_uid * 100 + activity_id", lambda r: r.mapping.ocsf.v1_8.type_uid),
    Field("type_name", "the schema's caption", _type_name),
    Field("time", "`occurred_at` in milliseconds", lambda r: epoch_ms(r.entry["occurred_at"])),
    Field("severity_id", "from `severity`", lambda r: ocsf_severity(r.entry["severity"])),
    Field(
        "severity",
        "the schema's caption",
        lambda r: OCSF_SEVERITIES[ocsf_severity(r.entry["severity"])],
    ),
    Field("status_id", "`outcome`: 1 or 2", lambda r: _STATUS[r.entry["outcome"]][0]),
    Field("status", "the schema's caption", lambda r: _STATUS[r.entry["outcome"]][1]),
    Field(
        "status_detail",
        "`outcome_reason`, else `details.reason`; of a login or logout OCSF's word for it, if any",
        _status_detail,
    ),
    Field("message", "the action in words", lambda r: r.row.label),
    always("metadata.version", VERSION),
    Field("metadata.product", "Hub Audit, of Hub", lambda _: _PRODUCT),
    of("metadata.uid", "entry_id"),
    of("metadata.event_code", "action"),
    of("metadata.sequence", "seq"),
    of("metadata.tenant_uid", "org_id"),
    of("metadata.original_event_uid", "source.event_id"),
    of("metadata.correlation_uid", "correlation_id"),
    Field(
        "metadata.logged_time",
        "`recorded_at` in milliseconds",
        lambda r: epoch_ms(r.entry["recorded_at"]),
    ),
    of("metadata.log_name", "category"),
    of("metadata.log_provider", "source.service"),
    Field("actor", "`actor`, and `session_id` where it is the actor's", _actor),
    Field("src_endpoint", "`ip`, `ip_port`, else `ip_raw`", _source),
    Field("http_request.user_agent", "`user_agent`", lambda r: r.entry.get("user_agent")),
    of("http_request.uid", "request_id"),
    Field("unmapped", "the whole entry", lambda r: r.entry),
)
"""Fields of every class, before what may be large: Splunk reads the beginning of an event alone."""

OF_CLASS: Mapping[int, tuple[Field, ...]] = {
    ACCOUNT_CHANGE: (Field("user", "the user concerned", lambda r: _user(r.account or {})),),
    AUTHENTICATION: (
        Field(
            "user",
            "who logs in or out; Unknown if somebody else ended it",
            lambda r: _user(r.account or {}),
        ),
        Field("service", "`source.service`", _service),
        Field("session", "the session that began or ended", _session),
        Field("is_mfa", "`details.extra.mfa`", lambda r: _flag(r, "mfa")),
    ),
    ENTITY: (
        Field(
            "entity",
            "`target`, `details.old`; or the role with the product, or with the permissions that"
            " it lost and got as `permissions_removed` and `permissions_added`",
            lambda r: _entity(r, "old"),
        ),
        Field(
            "entity_result",
            "`target`, `details.new`; of permissions none, they are told as differences",
            _entity_result,
        ),
    ),
    ACCESS: (
        Field("user", "who got or lost it", lambda r: _user(r.account or {})),
        Field("privileges", "what was given or taken", _privileges),
        Field("resources", "the product", _resources),
    ),
    API: (
        Field("api", "`action`, `source.service`, `request_id`", _api),
        Field("resources", "`target`", _resources),
    ),
}
"""Fields that stand in one class alone."""

LAST = (
    Field(
        "raw_data_hash",
        "`raw_sha256`",
        lambda r: {
            "algorithm_id": _SHA256,
            "algorithm": "SHA-256",
            "value": r.entry["raw_sha256"],
        },
    ),
    Field("observables", "addresses of the event, to pivot on", _observables),
)
"""Fields of every class that stand at its end."""

_FIELDS = {uid: compiled(COMMON + own + LAST) for uid, own in OF_CLASS.items()}


def event(entry: Entry) -> bytes:
    """Return an entry as an OCSF event."""
    reading = read(entry)
    return orjson.dumps(filled(_FIELDS[_class(reading)], reading))


def heartbeat(beat: Heartbeat) -> bytes:
    """Return a heartbeat as a Base Event, the class of what has no class."""
    return orjson.dumps(
        {
            "activity_id": _OTHER,
            "activity_name": LABEL,
            "category_uid": 0,
            "category_name": "Uncategorized",
            "class_uid": 0,
            "class_name": "Base Event",
            "type_uid": _OTHER,
            "type_name": "Base Event: Other",
            "time": epoch_ms(beat.at),
            "severity_id": 1,
            "severity": OCSF_SEVERITIES[1],
            "message": LABEL,
            "metadata": {
                "version": VERSION,
                "product": _PRODUCT,
                "uid": beat.identifier,
                "event_code": ACTION,
                "sequence": beat.through_seq,
                "tenant_uid": beat.org_id,
            },
            "unmapped": {"hub_heartbeat": beat.said},
        }
    )
