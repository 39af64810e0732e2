"""What is committed under ``schemas`` is what the contracts say: schemas, AsyncAPI, examples."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from processor.api import app
from processor.forward.messages import sample
from processor.ingest.decode import decode
from processor.siem import FORMATS
from schemas.catalogue import CANONICAL_TOPICS, DEAD_LETTER_TOPIC, OWN_TOPICS
from schemas.entry import Entry
from schemas.generate import ROOT, documents, raw_types, stale
from schemas.raw.envelope import Event
from schemas.record import RawRecord
from schemas.rejection import Rejection
from tests.contract.siem_examples import HEARTBEAT, entries

GENERATED = documents()
ASYNCAPI = yaml.safe_load(GENERATED["asyncapi.yaml"])
EXAMPLES = sorted((ROOT / "examples" / "raw").glob("*.json"))
TYPES = [name for names in raw_types().values() for name in names]


def schema(name: str) -> Draft202012Validator:
    """Return the validator of a committed JSON Schema."""
    document = json.loads((ROOT / "jsonschema" / f"{name}.json").read_text())
    return Draft202012Validator(document)


def type_of(example: Path) -> str:
    """Return the raw type that an example shows; what follows the version tells two apart."""
    name, version, _ = example.name.partition(".v1")
    return name + version


def references(node: Any) -> Iterator[str]:
    """Yield every reference of a document."""
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for member in node.values():
            yield from references(member)
    elif isinstance(node, list):
        for member in node:
            yield from references(member)


@pytest.mark.parametrize("path", GENERATED)
def test_committed_file_is_up_to_date(path: str) -> None:
    """``python -m schemas.generate`` would change nothing."""
    assert (ROOT / path).read_text(encoding="utf-8") == GENERATED[path]


def test_api_serves_every_generated_file() -> None:
    """As it is committed, by the name of the file."""
    served = app._contracts()
    for path, text in GENERATED.items():
        assert served[path.rpartition("/")[2]] == text


def test_no_file_is_stale() -> None:
    """Nothing lies there that would not be written again."""
    assert stale(GENERATED) == []


@pytest.mark.parametrize("path", [path for path in GENERATED if path.endswith(".json")])
def test_json_schema_is_valid(path: str) -> None:
    """Each file is a schema of its dialect, with an id of its own."""
    document = json.loads(GENERATED[path])
    Draft202012Validator.check_schema(document)
    ids = [json.loads(text)["$id"] for name, text in GENERATED.items() if name.endswith(".json")]
    assert ids.count(document["$id"]) == 1


def test_entry_schema_has_the_keys_of_an_entry() -> None:
    """In canonical order, with those required that always have a value."""
    document = schema("entry").schema
    assert list(document["properties"]) == list(Entry.__annotations__)
    assert set(document["required"]) == Entry.__required_keys__


def test_every_raw_type_has_an_example() -> None:
    """27 types, and one example more where a type becomes actions of two topics."""
    assert {type_of(path) for path in EXAMPLES} == set(TYPES)
    assert len(TYPES) == 27


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_raw_example_is_valid(path: Path) -> None:
    """It obeys the schema of its type and that of any envelope, and decode takes it."""
    value = path.read_bytes()
    example = json.loads(value)
    assert example["type"] == type_of(path)
    for name in ("envelope", f"raw/{type_of(path)}"):
        assert list(schema(name).iter_errors(example)) == []
    topic = "raw." + path.name.split(".")[0]
    event = decode(RawRecord(topic, 0, 0, 0, None, value), "raw.redrive")
    assert isinstance(event, Event)
    assert (event.data, event.sanitized) == (example["data"], ())


@pytest.mark.parametrize(
    "changed",
    [
        {"specversion": ...},
        {"specversion": "0.3"},
        {"source": ""},
        {"source": "s" * 257},
        {"type": ...},
        {"type": 7},
        {"id": ""},
        {"id": 7},
        {"subject": 7},
        {"datacontenttype": "application/xml"},
        {"data_base64": "AAAA"},
    ],
    ids=repr,
)
def test_envelope_schema_and_decode_refuse_the_same(changed: dict[str, Any]) -> None:
    """A service that validates its events before it sends them meets no surprise."""
    example = json.loads(EXAMPLES[0].read_bytes())
    spoiled = {k: v for k, v in {**example, **changed}.items() if v is not ...}
    assert not schema("envelope").is_valid(spoiled)
    value = json.dumps(spoiled).encode()
    assert isinstance(decode(RawRecord("t", 0, 0, 0, None, value), "raw.redrive"), Rejection)


def test_asyncapi_has_every_topic() -> None:
    """Raw, canonical, dead letters and Defend's, each with the operation that fits it."""
    raw = {f"raw.{name}" for name in ("identity", "permission", "billing", "audit", "redrive")}
    raw.add("defend.endpoint_telemetry")
    sent = {*CANONICAL_TOPICS, *OWN_TOPICS, DEAD_LETTER_TOPIC, "hub.defend.findings"}
    assert ASYNCAPI["asyncapi"] == "3.0.0"
    channels = dict(ASYNCAPI["channels"])
    assert channels.pop("siem")["address"] == "siem.{org_id}.{format}"
    assert {channel["address"] for channel in channels.values()} == raw | sent
    actions = {
        operation["channel"]["$ref"].removeprefix("#/channels/"): operation["action"]
        for operation in ASYNCAPI["operations"].values()
    }
    assert actions == dict.fromkeys(raw, "receive") | dict.fromkeys({*sent, "siem"}, "send")


def test_asyncapi_has_every_format_of_a_subscription() -> None:
    """Each is a value of the topic's parameter and a message of its own, with the same headers."""
    channel = ASYNCAPI["channels"]["siem"]
    formats = list(FORMATS)
    assert channel["parameters"]["format"]["enum"] == formats
    assert list(channel["messages"]) == formats
    for name in formats:
        message = ASYNCAPI["components"]["messages"][f"siem_{name}"]
        assert message["contentType"] == FORMATS[name].content_type
        assert message["headers"] == {"$ref": "#/components/schemas/siemHeaders"}


def test_asyncapi_describes_whatever_comes_as_hub_json() -> None:
    """Entries, heartbeats and test events, each by one of the payload's schemas and no other."""
    schemas = [
        json.loads((ROOT / each["$ref"]).read_text()) if "$ref" in each else each
        for each in ASYNCAPI["components"]["messages"]["siem_hub"]["payload"]["oneOf"]
    ]
    silent = HEARTBEAT._replace(gaps=[], through_seq=0, previous_seq=0)
    values = [
        *(FORMATS["hub"].render(entry) for entry in entries().values()),
        *(FORMATS["hub"].heartbeat(beat) for beat in (HEARTBEAT, silent)),
        FORMATS["hub"].render(sample("acme", "2026-11-23T10:00:00.000Z")),
    ]
    for value in values:
        document = json.loads(value)
        assert sum(Draft202012Validator(each).is_valid(document) for each in schemas) == 1, value
    assert json.loads(values[-2])["hub_heartbeat"]["at"] == HEARTBEAT.at


def test_asyncapi_refers_to_what_is_there() -> None:
    """A reference leads into the document or to a committed schema."""
    for reference in set(references(ASYNCAPI)):
        path, _, inside = reference.partition("#/")
        assert (ROOT / path).exists()
        node = ASYNCAPI
        for part in inside.split("/") if inside else ():
            node = node[part]
    payloads = {ref for ref in references(ASYNCAPI) if ref.endswith(".json")}
    others = {f"jsonschema/{name}.json" for name in ("entry", "finding", "telemetry")}
    assert payloads == others | {f"jsonschema/raw/{name}.json" for name in TYPES}
