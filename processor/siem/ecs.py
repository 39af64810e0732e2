"""Elastic Common Schema: an entry as one document, dated and categorized as ECS wants it."""

import orjson

from processor.siem.fields import Field, always, compiled, filled, of
from processor.siem.heartbeat import ACTION, LABEL, Heartbeat
from processor.siem.reading import Party, Reading, read
from schemas.entry import Entry, render

VERSION = "8.17.0"
DATASET = "hub.audit"
GAPS_MAX = 60
"""In one heartbeat: as text they are a keyword, which a mapping ignores above 8,191 characters."""


def _user(reading: Reading) -> Party:
    """Who logs in is the user even where nobody has been recognized yet; else it is the actor.

    Where somebody ends another's session, nobody tells whose: a rule would take one for the other.
    """
    if reading.row.category == "authentication":
        return reading.account or {}
    return reading.entry["actor"]


def _target(reading: Reading) -> Party:
    if reading.row.category == "authentication" or reading.account is None:
        return {}
    return reading.account


def _role(reading: Reading) -> Party:
    """Return the role that is the target, or that got or lost access to a product."""
    entry = reading.entry
    if reading.row.category == "product_access":
        grantee = entry["details"].get("grantee") or {}
        return grantee if grantee.get("type") == "role" else {}
    return entry["target"] if entry["target"]["type"] == "role" else {}


def _name(party: Party) -> str | None:
    return party.get("email") or party.get("name") or party.get("id")


def _users_named(reading: Reading) -> list[str] | None:
    actor = reading.entry["actor"]
    effective: Party = actor.get("on_behalf_of") or {}
    changes = {"email": _changed(reading, "email"), "name": _changed(reading, "name")}
    parties: tuple[Party, ...] = (_user(reading), _target(reading), actor, effective, changes)
    told = [p.get(key) for p in parties for key in ("id", "email", "name")]
    return list(dict.fromkeys(str(each) for each in told if each)) or None


def _changed(reading: Reading, key: str) -> str | None:
    """Return what of a user is different now: after a failed attempt, nothing."""
    return None if reading.row.name != "user.updated" or reading.failed else _new(reading, key)


def _roles(reading: Reading) -> list[str] | None:
    if reading.row.category != "roles" or reading.failed:
        return None
    return reading.names("new", "roles") or None


def _new(reading: Reading, key: str) -> str | None:
    held = reading.detail("new", key)
    return held if isinstance(held, str) else None


def _role_given(reading: Reading) -> str | None:
    """Return the role that is given or taken, or that a user has now."""
    return reading.detail("role", "name") or _new(reading, "role")


def _on_behalf_of(reading: Reading, key: str) -> str | None:
    party: Party = reading.entry["actor"].get("on_behalf_of") or {}
    return party.get(key)


def _ips(reading: Reading) -> list[str] | None:
    ip = reading.entry.get("ip")
    return [ip] if ip else None


FIELDS = (
    of("@timestamp", "occurred_at"),
    always("ecs.version", VERSION),
    Field("message", "the action in words", lambda r: r.row.label),
    of("event.id", "entry_id"),
    always("event.kind", "event"),
    Field("event.category", "from the action, see the catalogue", lambda r: r.mapping.ecs.category),
    Field("event.type", "from the action, see the catalogue", lambda r: r.mapping.ecs.type),
    of("event.action", "action"),
    of("event.outcome", "outcome"),
    Field("event.reason", "`outcome_reason`, else `details.reason`", lambda r: r.reason),
    of("event.severity", "severity"),
    of("event.sequence", "seq"),
    of("event.created", "recorded_at"),
    of("event.provider", "source.service"),
    always("event.module", "hub"),
    always("event.dataset", DATASET),
    of("event.hash", "raw_sha256"),
    of("organization.id", "org_id"),
    of("organization.name", "org_name"),
    Field(
        "user.id",
        "of who logs in or out, if that is known; of others the actor's",
        lambda r: _user(r).get("id"),
    ),
    Field("user.name", "e-mail address, else name, else id", lambda r: _name(_user(r))),
    Field("user.email", "of the same", lambda r: _user(r).get("email")),
    Field("user.full_name", "the name", lambda r: _user(r).get("name")),
    Field("user.effective.id", "`actor.on_behalf_of.id`", lambda r: _on_behalf_of(r, "id")),
    Field(
        "user.effective.email", "`actor.on_behalf_of.email`", lambda r: _on_behalf_of(r, "email")
    ),
    Field("user.target.id", "the user concerned, if any", lambda r: _target(r).get("id")),
    Field("user.target.name", "e-mail address, else name, else id", lambda r: _name(_target(r))),
    Field("user.target.email", "of the user concerned", lambda r: _target(r).get("email")),
    Field("user.target.full_name", "of the user concerned", lambda r: _target(r).get("name")),
    Field(
        "user.target.roles",
        "`details.new.roles` of a success",
        _roles,
    ),
    Field("user.changes.email", "`details.new.email` of a success", lambda r: _changed(r, "email")),
    Field(
        "user.changes.full_name", "`details.new.name` of a success", lambda r: _changed(r, "name")
    ),
    Field("group.id", "the role concerned, if any", lambda r: _role(r).get("id")),
    Field("group.name", "the role concerned, if any", lambda r: _role(r).get("name")),
    Field(
        "source.address",
        "`ip`, else `ip_raw`",
        lambda r: r.entry.get("ip") or r.entry.get("ip_raw"),
    ),
    of("source.ip", "ip"),
    of("source.port", "ip_port"),
    of("user_agent.original", "user_agent"),
    of("http.request.id", "request_id"),
    of("trace.id", "trace_id"),
    of("span.id", "span_id"),
    Field("related.user", "every id, address and name of a user above", _users_named),
    Field("related.ip", "`ip`", _ips),
    always("observer.vendor", "Hub"),
    always("observer.product", "Hub Audit"),
    of("labels.hub_category", "category"),
    of("labels.hub_actor_type", "actor.type"),
    of("labels.hub_target_type", "target.type"),
    of("labels.hub_target_id", "target.id"),
    of("labels.hub_target_name", "target.name"),
    Field("labels.hub_role", "`details.role.name`, else `details.new.role`", _role_given),
    Field("labels.hub_grantee_id", "`details.grantee.id`", lambda r: r.detail("grantee", "id")),
    Field("labels.hub_state", "`details.new.state`", lambda r: _new(r, "state")),
    of("labels.hub_session_id", "session_id"),
    of("labels.hub_correlation_id", "correlation_id"),
    Field("labels.hub_old", "`details.old` as JSON text", lambda r: r.text("old")),
    Field("labels.hub_new", "`details.new` as JSON text", lambda r: r.text("new")),
    Field("event.original", "the whole entry, as JSON text", lambda r: render(r.entry).decode()),
)
"""Every field that an ECS document may have."""

_FIELDS = compiled(FIELDS)


def document(entry: Entry) -> bytes:
    """Return an entry as an ECS document."""
    return orjson.dumps(filled(_FIELDS, read(entry)))


def heartbeat(beat: Heartbeat) -> bytes:
    """Return a heartbeat as an ECS document: a state, and in no category."""
    return orjson.dumps(
        {
            "@timestamp": beat.at,
            "ecs": {"version": VERSION},
            "message": LABEL,
            "event": {
                "id": beat.identifier,
                "kind": "state",
                "action": ACTION,
                "sequence": beat.through_seq,
                "module": "hub",
                "dataset": "hub.heartbeat",
            },
            "organization": {"id": beat.org_id},
            "labels": {
                "hub_previous_seq": str(beat.previous_seq),
                "hub_through_seq": str(beat.through_seq),
                "hub_gaps": beat.gaps_text,
            },
        }
    )
