"""Writes what is generated from the contracts: JSON Schema, AsyncAPI, the event reference.

``python -m schemas.generate`` writes the files; a test keeps them equal to what it would write.
With ``--release`` the schemas are kept as what later ones are compared with.
"""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter

from schemas.asyncapi import document
from schemas.catalogue import CATALOGUE, CATEGORY_LABELS
from schemas.entry import SCHEMA_ID, SCHEMA_VERSION, Entry
from schemas.finding import SCHEMA_ID as FINDING_ID
from schemas.finding import Finding
from schemas.raw import audit, billing, identity, permission
from schemas.raw.envelope import ORG_ID
from schemas.reference import reference
from schemas.telemetry import SCHEMA_ID as TELEMETRY_ID
from schemas.telemetry import TELEMETRY

ROOT = Path(__file__).parent
RELEASED = ROOT / "released.json"
"""The JSON Schemas that later ones are compared with; a release writes them anew."""

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Schema = dict[str, Any]

_MOMENT = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$"
_ORG_ID = f"^{ORG_ID}$"

_TARGETS = sorted({target for action in CATALOGUE.values() for target in action.targets})

# What the entry's Python types do not say.
_ENTRY_BOUNDS: dict[str, Schema] = {
    "schema_version": {"const": SCHEMA_VERSION},
    "entry_id": {
        "format": "uuid",
        "pattern": "^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$",
    },
    "seq": {"minimum": 1},
    "org_id": {"pattern": _ORG_ID},
    "occurred_at": {"format": "date-time", "pattern": _MOMENT},
    "recorded_at": {"format": "date-time", "pattern": _MOMENT},
    "category": {"enum": list(CATEGORY_LABELS)},
    "action": {"enum": list(CATALOGUE)},
    "severity": {"minimum": 0, "maximum": 10},
    "ip_port": {"minimum": 0, "maximum": 65535},
    "trace_id": {"pattern": "^(?!0{32})[0-9a-f]{32}$"},
    "span_id": {"pattern": "^(?!0{16})[0-9a-f]{16}$"},
    "raw_sha256": {"pattern": "^[0-9a-f]{64}$"},
}

_OPTIONAL_TEXT: Schema = {"type": ["string", "null"]}

# The envelope of a raw event in its JSON form; ``processor.ingest`` decides by the same rules, and
# a test compares the two. Time has its own: what is no RFC 3339 is not for a pattern to say.
_ENVELOPE: Schema = {
    "type": "object",
    "description": "CloudEvents 1.0 in JSON format. Other members are extension attributes.",
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {
            "type": ["string", "null"],
            "minLength": 1,
            "maxLength": 256,
            "description": "With orgid, source and time the event's identity.",
        },
        "source": {"type": "string", "minLength": 1, "maxLength": 256},
        "type": {"type": "string", "minLength": 1},
        "time": {"type": "string", "description": "RFC 3339; UTC is assumed without a zone."},
        "subject": _OPTIONAL_TEXT,
        "datacontenttype": {
            "type": ["string", "null"],
            "description": "application/json, with any parameters.",
            "pattern": "^application/json *(;.*)?$",
        },
        "data_base64": {"type": "null", "description": "Data has to be JSON."},
        "orgid": {"type": "string", "pattern": _ORG_ID, "description": "The organization."},
        "traceparent": {"description": "W3C trace context; an invalid one is dropped."},
        "data": {"type": "object"},
    },
    "required": ["specversion", "source", "type", "time", "orgid", "data"],
}


def entry_schema() -> Schema:
    """Return the JSON Schema of the audit entry."""
    schema = TypeAdapter(Entry).json_schema()
    for name, bounds in _ENTRY_BOUNDS.items():
        schema["properties"][name] |= bounds
    schema["$defs"]["Target"]["properties"]["type"] |= {"enum": _TARGETS}
    return {"$schema": DIALECT, "$id": SCHEMA_ID, **schema}


def finding_schema() -> Schema:
    """Return the JSON Schema of a finding of Defend."""
    schema = TypeAdapter(Finding).json_schema()
    for name in ("hour", "first_at", "last_at"):
        schema["properties"][name] |= _ENTRY_BOUNDS["occurred_at"]
    for name in ("org_id", "schema_version"):
        schema["properties"][name] |= _ENTRY_BOUNDS[name]
    schema["properties"]["finding_id"] |= _ENTRY_BOUNDS["entry_id"]
    return {"$schema": DIALECT, "$id": FINDING_ID, **schema}


def telemetry_schema() -> Schema:
    """Return the JSON Schema of an endpoint's report."""
    return {"$schema": DIALECT, "$id": TELEMETRY_ID, **TELEMETRY.json_schema()}


def envelope_schema() -> Schema:
    """Return the JSON Schema of any raw event, whatever its type."""
    return {"$schema": DIALECT, "$id": "urn:hub:raw:envelope:1", "title": "Envelope", **_ENVELOPE}


def raw_schema(name: str, data: TypeAdapter[Any] | None) -> Schema:
    """Return the JSON Schema of the raw events of one type: the envelope and what it carries."""
    carried: Schema = {"type": "object"} if data is None else data.json_schema()
    definitions = carried.pop("$defs", {})
    properties = _ENVELOPE["properties"] | {"type": {"const": name}, "data": carried}
    schema = {
        "$schema": DIALECT,
        "$id": f"urn:hub:raw:{name}",
        "title": name,
        **_ENVELOPE,
        "properties": properties,
    }
    return schema | ({"$defs": definitions} if definitions else {})


def raw_types() -> dict[str, dict[str, TypeAdapter[Any] | None]]:
    """Return by raw topic its types and what checks their data, None where it may be anything."""
    topics: dict[str, dict[str, TypeAdapter[Any] | None]] = {}
    for family in (identity, permission, billing, audit):
        any_data = dict.fromkeys(sorted(family.NOT_AUDITED))
        types = {f"{name}.v1": data for name, data in (family.CONTRACTS | any_data).items()}
        topics[f"raw.{family.__name__.rpartition('.')[2]}"] = types
    return topics


def documents() -> dict[str, str]:
    """Return every generated file by its path below ``schemas``."""
    types = raw_types()
    schemas = {
        "entry": entry_schema(),
        "envelope": envelope_schema(),
        "finding": finding_schema(),
        "telemetry": telemetry_schema(),
    } | {
        f"raw/{name}": raw_schema(name, data)
        for of_topic in types.values()
        for name, data in of_topic.items()
    }
    files = {f"jsonschema/{name}.json": _json(schema) for name, schema in schemas.items()}
    names = {topic: list(of_topic) for topic, of_topic in types.items()}
    return files | {
        "asyncapi.yaml": _yaml(document(names)),
        "reference.md": reference(types, schemas["entry"]),
    }


def stale(written: Iterable[str]) -> list[Path]:
    """Return the generated files on disk that would not be written any more."""
    kept = {ROOT / path for path in written}
    return sorted(set((ROOT / "jsonschema").rglob("*.json")) - kept)


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _yaml(value: Any) -> str:
    head = "# Generated by `python -m schemas.generate`; edit the contracts instead.\n"
    return head + yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)


def main() -> None:
    """Write every generated file and remove what is stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--release", action="store_true", help="keep the schemas as those of a release, too"
    )
    files = documents()
    if parser.parse_args().release:
        schemas = {path: json.loads(files[path]) for path in files if path.endswith(".json")}
        RELEASED.write_text(json.dumps(schemas, ensure_ascii=False, sort_keys=True) + "\n")
    for path in stale(files):
        path.unlink()
    for name, text in files.items():
        path = ROOT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
