"""The AsyncAPI 3.0.0 document: every topic, who writes it, what its records look like."""

from collections.abc import Mapping, Sequence
from typing import Any

from schemas import asyncapi_siem as siem
from schemas.catalogue import CATALOGUE, DEAD_LETTER_TOPIC
from schemas.finding import FINDINGS_TOPIC
from schemas.telemetry import TELEMETRY_TOPIC

REDRIVE_TOPIC = "raw.redrive"
PARTITIONS = 12
"""Of every topic by default: they have to have the same number."""

_KAFKA_BINDING = "0.5.0"

Node = dict[str, Any]


def document(raw_types: Mapping[str, Sequence[str]]) -> Node:
    """Return the document; ``raw_types`` are the names of the raw types by raw topic."""
    every = [name for names in raw_types.values() for name in names]
    channels = {topic: _raw_channel(topic, names) for topic, names in raw_types.items()}
    channels[REDRIVE_TOPIC] = _redrive_channel(every)
    canonical: dict[str, list[str]] = {}
    for row in CATALOGUE.values():
        canonical.setdefault(row.topic, []).append(row.name)
    channels |= {topic: _canonical_channel(topic, names) for topic, names in canonical.items()}
    channels[DEAD_LETTER_TOPIC] = _dead_letter_channel()
    channels[TELEMETRY_TOPIC] = _telemetry_channel()
    channels[FINDINGS_TOPIC] = _findings_channel()
    channels[siem.CHANNEL] = siem.channel()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Hub Audit",
            "version": "1.0.0",
            "description": (
                "Raw events come in on raw.* topics. Each becomes one audit entry and one canonical"
                " event on a hub.* topic, or one dead letter, or is discarded by rule."
            ),
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": {_identifier(topic): _operation(topic) for topic in channels},
        "components": {
            "messages": _raw_messages(every)
            | {
                "canonical": _canonical(),
                "dead": _dead(),
                "telemetry": _telemetry(),
                "finding": _finding(),
            }
            | siem.messages(),
            "schemas": {
                "canonicalHeaders": _canonical_headers(),
                "deadHeaders": _dead_headers(),
                "siemHeaders": siem.headers(),
            },
        },
    }


def _channel(topic: str, description: str, messages: Mapping[str, str], *, raw: bool) -> Node:
    configuration: Node = {"cleanup.policy": ["delete"]}
    kafka: Node = {"topic": topic, "partitions": PARTITIONS, "topicConfiguration": configuration}
    if raw:
        description += " The broker sets the time: message.timestamp.type is LogAppendTime."
    return {
        "address": topic,
        "description": description,
        "messages": {
            name: {"$ref": f"#/components/messages/{target}"} for name, target in messages.items()
        },
        "bindings": {"kafka": {**kafka, "bindingVersion": _KAFKA_BINDING}},
    }


def _raw_channel(topic: str, names: Sequence[str]) -> Node:
    text = "Written by upstream services; key is orgid, partitioner is murmur2."
    return _channel(topic, text, {name: name for name in names}, raw=True)


def _redrive_channel(names: Sequence[str]) -> Node:
    text = "Written by operators alone: dead letters again, with x-original-* and x-redriven-*."
    return _channel(REDRIVE_TOPIC, text, {name: name for name in names}, raw=True)


def _canonical_channel(topic: str, actions: Sequence[str]) -> Node:
    text = f"Canonical events of {', '.join(actions)}; key is org_id, in the order of seq."
    return _channel(topic, text, {"canonical": "canonical"}, raw=False)


def _dead_letter_channel() -> Node:
    text = "Rejected records as they came, with what was wrong; the partition is the lane."
    return _channel(DEAD_LETTER_TOPIC, text, {"dead": "dead"}, raw=False)


def _telemetry_channel() -> Node:
    text = "Written by endpoint agents; key is orgid, partitioner is murmur2."
    return _channel(TELEMETRY_TOPIC, text, {"telemetry": "telemetry"}, raw=True)


def _findings_channel() -> Node:
    text = "What Defend found; the same finding again, with a higher version, when it grew."
    return _channel(FINDINGS_TOPIC, text, {"finding": "finding"}, raw=False)


def _is_read(topic: str) -> bool:
    return topic.startswith("raw.") or topic == TELEMETRY_TOPIC


def _operation(topic: str) -> Node:
    return {
        "action": "receive" if _is_read(topic) else "send",
        "channel": {"$ref": f"#/channels/{topic}"},
    }


def _identifier(topic: str) -> str:
    return ("consume_" if _is_read(topic) else "emit_") + topic.replace(".", "_")


def _key(description: str) -> Node:
    schema = {"type": "string", "description": description}
    return {"kafka": {"key": schema, "bindingVersion": _KAFKA_BINDING}}


def _raw_messages(names: Sequence[str]) -> Node:
    return {
        name: {
            "name": name,
            "title": name,
            "contentType": "application/cloudevents+json",
            "payload": {"$ref": f"jsonschema/raw/{name}.json"},
            "bindings": _key("orgid"),
        }
        for name in names
    }


def _canonical() -> Node:
    return {
        "name": "canonical",
        "title": "Canonical event",
        "summary": "CloudEvents 1.0 in binary mode; the value is the audit entry.",
        "contentType": "application/json",
        "headers": {"$ref": "#/components/schemas/canonicalHeaders"},
        "payload": {"$ref": "jsonschema/entry.json"},
        "bindings": _key("org_id; the partition is its murmur2"),
    }


def _dead() -> Node:
    return {
        "name": "dead",
        "title": "Dead letter",
        "summary": "The original key, value and headers, then the headers of the rejection.",
        "contentType": "application/octet-stream",
        "headers": {"$ref": "#/components/schemas/deadHeaders"},
        "payload": {"type": "string", "format": "binary"},
    }


def _telemetry() -> Node:
    return {
        "name": "telemetry",
        "title": "Endpoint report",
        "summary": "Plain JSON; what is not benign is kept and correlated.",
        "contentType": "application/json",
        "payload": {"$ref": "jsonschema/telemetry.json"},
        "bindings": _key("orgid"),
    }


def _finding() -> Node:
    return {
        "name": "finding",
        "title": "Finding",
        "summary": "At least once; of records with one finding_id the highest version counts.",
        "contentType": "application/json",
        "payload": {"$ref": "jsonschema/finding.json"},
        "bindings": _key("org_id; the partition is its murmur2"),
    }


def _headers(required: Mapping[str, str], optional: Mapping[str, str]) -> Node:
    return {
        "type": "object",
        "properties": {
            name: {"type": "string", "description": text}
            for name, text in {**required, **optional}.items()
        },
        "required": list(required),
    }


def _canonical_headers() -> Node:
    required = {
        "ce_specversion": "1.0",
        "ce_id": "entry_id",
        "ce_source": "/hub/audit",
        "ce_type": "the topic without prefix",
        "ce_time": "occurred_at",
        "ce_dataschema": "$id of the entry's JSON Schema",
        "ce_partitionkey": "org_id",
        "ce_orgid": "org_id",
        "ce_orgseq": "seq in decimal",
        "ce_hubaction": "action",
        "ce_outcome": "success or failure",
        "content-type": "application/json",
    }
    optional = {
        "ce_subject": "target type and id with a slash between, when the target has an id",
        "ce_traceparent": "W3C trace context the raw event began with",
        "traceparent": "the same, for this hop",
        "hub_redelivery": "true when the event may have been published before",
    }
    return _headers(required, optional)


def _dead_headers() -> Node:
    required = {
        "dl_stage": "decode, normalize or store",
        "dl_reason": "reason code",
        "dl_detail": "what was expected where, in ASCII",
        "dl_topic": "topic of the record",
        "dl_partition": "its partition, in decimal",
        "dl_offset": "its offset, in decimal",
        "dl_timestamp": "its append time in milliseconds since 1970, in decimal",
    }
    cut = (
        "length of the value before it was cut at 512 KiB; key=N the key's, cut at 64 KiB;"
        " headers=N how many there were, kept to 256 KiB; with commas between. The table has all"
    )
    return _headers(required, {"dl_truncated": cut})
