"""What the rivals share: the events' model, the mapping to an entry, and COPY into a table.

It is what an engineer writes in an afternoon: it validates, knows every type, lower-cases e-mail
addresses, leaves out what is no audit event and keys the row so that a replay is no second row. It
does not number entries, tell conflicts from duplicates, redact, bound, keep dead letters, fence a
zombie in Postgres or survive a bad record: that is the difference that is paid for.
"""

import hashlib
import os
import uuid
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Literal, TypeAlias

import orjson
import psycopg
from pydantic import BaseModel, TypeAdapter

Entry: TypeAlias = dict[str, Any]
Data: TypeAlias = dict[str, Any]
Place: TypeAlias = tuple[str, int, int]

BOOTSTRAP_SERVERS = os.environ.get("HUB_AUDIT_KAFKA_BOOTSTRAP_SERVERS", "")
PREFIX = os.environ.get("HUB_AUDIT_KAFKA_TOPIC_PREFIX", "")
GROUP = os.environ.get("HUB_AUDIT_GROUP", "")
DSN = os.environ.get("HUB_AUDIT_POSTGRES_DSN", "")
RAW_TOPICS = [f"{PREFIX}raw.{name}" for name in ("identity", "permission", "billing", "audit")]
OUT = "rival.out"
WORKER = "RIVAL_WORKER"
"""The variable that tells two workers apart; whoever replaces one has its number."""

TABLE = """
CREATE TABLE IF NOT EXISTS audit_entries (
    org_id text, occurred_at timestamptz, entry_id uuid, recorded_at timestamptz, action text,
    category text, outcome text, actor_id text, actor_email text, target_type text, target_id text,
    ip inet, session_id text, details jsonb, topic text, partition int, "offset" bigint,
    PRIMARY KEY (org_id, occurred_at, entry_id)
)
"""
COPY = "COPY audit_entries FROM STDIN"


class Actor(BaseModel):
    """Who did it."""

    type: Literal["user", "service", "system", "anonymous", "support"]
    id: str | None = None
    email: str | None = None
    name: str | None = None


class Client(BaseModel):
    """Where it came from."""

    ip: str | None = None
    user_agent: str | None = None
    session_id: str | None = None
    request_id: str | None = None


class Happened(BaseModel, extra="allow"):
    """What happened; what depends on the type stays as it is."""

    actor: Actor
    client: Client | None = None


class Event(BaseModel):
    """A raw event."""

    specversion: Literal["1.0"]
    id: str
    source: str
    type: str
    time: datetime
    orgid: str
    data: Happened


ADAPTER = TypeAdapter(Event)


def _session(data: Data) -> str:
    return "auth.logout" if data["cause"] == "logout" else "auth.session_expired"


def _binding(data: Data) -> str:
    return "role.assigned" if data["role"]["name"] in data["roles_after"] else "role.unassigned"


def _access(data: Data) -> str:
    return f"product_access.{'granted' if data['level_after'] else 'revoked'}"


def _grants(data: Data) -> str:
    if data["added"] and data["removed"]:
        return "permission.bulk_updated"
    return "permission.granted" if data["added"] else "permission.revoked"


# By type: the action or what finds it, and what is affected by its kind and its place in the data.
ACTIONS: dict[str, tuple[str | Callable[[Data], str], str, str]] = {
    "identity.login.succeeded.v1": ("auth.login_success", "user", "actor"),
    "identity.login.failed.v1": ("auth.login_failed", "user", "actor"),
    "identity.session.ended.v1": (_session, "session", "session"),
    "identity.user.created.v1": ("user.created", "user", "user"),
    "identity.user.updated.v1": ("user.updated", "user", "user"),
    "identity.user.invited.v1": ("user.invited", "user", "invitation"),
    "identity.user.deactivated.v1": ("user.deactivated", "user", "user"),
    "identity.user.removed.v1": ("user.removed", "user", "user"),
    "permission.role.created.v1": ("role.created", "role", "role"),
    "permission.role.updated.v1": ("role.updated", "role", "role"),
    "permission.role.deleted.v1": ("role.deleted", "role", "role"),
    "permission.role_binding.changed.v1": (_binding, "user", "user"),
    "permission.product_access.changed.v1": (_access, "product", "product"),
    "permission.grants.changed.v1": (_grants, "user", "target"),
    "billing.subscription.updated.v1": ("billing.plan_changed", "plan", "subscription"),
    "billing.payment_method.updated.v1": (
        "billing.payment_method_updated",
        "payment_method",
        "payment_method",
    ),
    "billing.invoice.finalized.v1": ("billing.invoice_generated", "invoice", "invoice"),
    "audit.viewed.v1": ("audit.viewed", "audit_log", ""),
    "audit.exported.v1": ("audit.exported", "audit_log", ""),
    "audit.denied.v1": ("audit.denied", "audit_log", ""),
    "audit.subscription.changed.v1": ("audit.subscription_changed", "siem", "subscription"),
    "audit.finding.acknowledged.v1": ("audit.finding_acknowledged", "finding", "finding"),
    "audit.retention.purged.v1": ("audit.retention_purged", "audit_log", ""),
}
CATEGORIES = {"auth": "Authentication", "user": "Users", "role": "Roles", "billing": "Billing"}
FAILURES = {"auth.login_failed", "audit.denied"}


def validated(value: bytes) -> Data:
    """Return a raw event that keeps the model, or raise."""
    event = ADAPTER.validate_json(value)
    data = {
        "actor": event.data.actor.model_dump(exclude_none=True),
        "client": event.data.client.model_dump(exclude_none=True) if event.data.client else {},
        **(event.data.model_extra or {}),
    }
    return {
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "time": event.time.isoformat(),
        "orgid": event.orgid,
        "data": data,
    }


def entry_of(event: Data, place: Place, recorded_ms: int) -> Entry | None:
    """Map an event to an entry; None when it is no audit event."""
    found, data = ACTIONS.get(event["type"]), event["data"]
    if found is None or ("before" in data and data["before"] == data["after"]):
        return None
    named, kind, where = found
    action = named if isinstance(named, str) else named(data)
    family = action.partition(".")[0]
    actor, client = data["actor"], data.get("client", {})
    identity = "\0".join((event["orgid"], event["source"], event["id"], event["time"]))
    topic, partition, offset = place
    return {
        "entry_id": str(uuid.UUID(bytes=hashlib.sha256(identity.encode()).digest()[:16])),
        "org_id": event["orgid"],
        "occurred_at": event["time"],
        "recorded_at": recorded_ms,
        "category": CATEGORIES.get(family, family),
        "action": action,
        "outcome": "failure" if action in FAILURES else "success",
        "actor": {**actor, "email": actor.get("email", "").lower()},
        "target": {"type": kind, "id": data[where]["id"] if where in data else None},
        "ip": client.get("ip"),
        "user_agent": client.get("user_agent"),
        "session_id": client.get("session_id"),
        "request_id": client.get("request_id"),
        "details": {k: v for k, v in data.items() if k not in {"actor", "client"}},
        "source": {"topic": topic, "partition": partition, "offset": offset},
    }


def row_of(entry: Entry) -> tuple[Any, ...]:
    """Return an entry as a row."""
    actor, target, source = entry["actor"], entry["target"], entry["source"]
    return (
        *(entry[name] for name in ("org_id", "occurred_at", "entry_id")),
        datetime.fromtimestamp(entry["recorded_at"] / 1000).astimezone(),
        *(entry[name] for name in ("action", "category", "outcome")),
        *(actor.get("id"), actor["email"], target["type"], target["id"]),
        *(entry["ip"], entry["session_id"], orjson.dumps(entry["details"]).decode()),
        *(source["topic"], source["partition"], source["offset"]),
    )


def connected() -> psycopg.Connection:
    """Connect, and see to it that the table is there."""
    connection = psycopg.connect(DSN, autocommit=True)
    connection.execute(TABLE)
    return connection


def store(connection: psycopg.Connection, entries: Iterable[Entry]) -> None:
    """Copy a batch in one transaction; a replayed one goes by a table of its own."""
    rows = [row_of(entry) for entry in entries]
    try:
        with connection.transaction(), connection.cursor() as cursor, cursor.copy(COPY) as copy:
            for row in rows:
                copy.write_row(row)
    except psycopg.errors.UniqueViolation:
        with connection.transaction(), connection.cursor() as cursor:
            cursor.execute("CREATE TEMP TABLE again (LIKE audit_entries) ON COMMIT DROP")
            with cursor.copy("COPY again FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
            cursor.execute("INSERT INTO audit_entries SELECT * FROM again ON CONFLICT DO NOTHING")
