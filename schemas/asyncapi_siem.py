"""The part of the AsyncAPI document that is about SIEM subscriptions."""

from typing import Any

from schemas.catalogue import FormatName

CHANNEL = "siem"

Node = dict[str, Any]

_JSON = "application/json"
_FIELDS = "deploy/siem/fields.md lists the fields."
_OBJECT: Node = {"type": "object"}
_SEQ: Node = {"type": "integer", "minimum": 0}
_GAP: Node = {
    "type": "object",
    "description": "Numbers that no entry has any more.",
    "properties": {"first_seq": _SEQ, "last_seq": _SEQ, "reason": {"type": "string"}},
    "required": ["first_seq", "last_seq", "reason"],
}
_HEARTBEAT: Node = {
    "type": "object",
    "title": "Heartbeat",
    "properties": {
        "hub_heartbeat": {
            "type": "object",
            "properties": {
                "org_id": {"type": "string"},
                "at": {"type": "string", "format": "date-time"},
                "through_seq": _SEQ,
                "previous_seq": _SEQ,
                "gaps": {"type": "array", "items": _GAP},
            },
            "required": ["org_id", "at", "through_seq", "previous_seq", "gaps"],
        }
    },
    "required": ["hub_heartbeat"],
}
_TEST_EVENT: Node = {
    "type": "object",
    "title": "Test event",
    "description": "Like an entry, but for its number, which no entry has.",
    "properties": {"seq": {"const": 0}},
    "required": ["entry_id", "seq"],
}
_HUB: Node = {"oneOf": [{"$ref": "jsonschema/entry.json"}, _HEARTBEAT, _TEST_EVENT]}
_FORMATS: dict[FormatName, tuple[str, str, Node]] = {
    "hub": ("The audit entry, a heartbeat or a test event", _JSON, _HUB),
    "ocsf": (f"An event of OCSF 1.8.0. {_FIELDS}", _JSON, _OBJECT),
    "ecs": (f"A document of ECS 8.17. {_FIELDS}", _JSON, _OBJECT),
    "cef": (
        f"CEF in a message of RFC 5424. {_FIELDS}",
        "text/plain; charset=utf-8",
        {"type": "string"},
    ),
}


def channel() -> Node:
    """Return the channel of every subscription: its address names the organization and format."""
    return {
        "address": "siem.{org_id}.{format}",
        "description": (
            "One organization's entries, in the order of seq, to whom its subscription lets read."
            " Between them come heartbeats, without a key and in the same format."
        ),
        "parameters": {
            "org_id": {"description": "The organization."},
            "format": {"description": "The subscription's format.", "enum": list(_FORMATS)},
        },
        "messages": {name: {"$ref": f"#/components/messages/siem_{name}"} for name in _FORMATS},
        "bindings": {"kafka": {"partitions": 1, "bindingVersion": "0.5.0"}},
    }


def messages() -> Node:
    """Return a message for each format."""
    return {
        f"siem_{name}": {
            "name": f"siem_{name}",
            "title": f"SIEM record: {name}",
            "summary": summary,
            "contentType": content_type,
            "headers": {"$ref": "#/components/schemas/siemHeaders"},
            "payload": payload,
            "bindings": {
                "kafka": {
                    "key": {"type": "string", "description": "entry_id; a heartbeat has none"},
                    "bindingVersion": "0.5.0",
                }
            },
        }
        for name, (summary, content_type, payload) in _FORMATS.items()
    }


def headers() -> Node:
    """Return the headers of every record; those of an entry are missing from heartbeats."""
    required = {
        "content-type": "that of the format",
        "hub_previous_seq": "up to which seq the record before this one told everything",
        "hub_through_seq": "up to which seq this one does",
    }
    optional = {
        "hub_entry_id": "entry_id",
        "hub_seq": "seq in decimal; 0 in a test event",
        "hub_action": "action",
        "hub_heartbeat": "true in a heartbeat",
        "hub_replay": "which replay it belongs to: a chain of its own",
        "hub_test": "which order of a test it answers",
    }
    return {
        "type": "object",
        "properties": {
            name: {"type": "string", "description": text}
            for name, text in {**required, **optional}.items()
        },
        "required": list(required),
    }
