"""Within a version what passed once passes for ever: no schema becomes narrower."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from schemas.generate import RELEASED, documents
from tests.contract.compatibility import narrowings, no_longer_said, not_understood

NOW = {
    path: json.loads(text) for path, text in documents().items() if path.startswith("jsonschema/")
}
BEFORE: dict[str, Any] = json.loads(RELEASED.read_text())
ENTRY, FINDING = "jsonschema/entry.json", "jsonschema/finding.json"
LOGIN = "jsonschema/raw/identity.login.succeeded.v1.json"


@pytest.mark.parametrize("path", BEFORE)
def test_what_passed_passes(path: str) -> None:
    """A document that was released is still there, and refuses nothing that it accepted."""
    assert narrowings(BEFORE[path], NOW.get(path, {"enum": []})) == []


@pytest.mark.parametrize("path", [ENTRY, FINDING])
def test_what_is_published_keeps_its_fields(path: str) -> None:
    """Whoever reads entries and findings finds in each what was in each before."""
    assert no_longer_said(BEFORE[path], NOW[path]) == []


def test_every_key_word_is_compared() -> None:
    """No schema has a key word that the comparison does not know, or does not look at."""
    assert not_understood(list(NOW.values())) == set()
    beside = {"$ref": "#/$defs/Target", "required": ["id"]}
    assert not_understood({"properties": {"target": beside}, "not": {}}) == {"required", "not"}


def _data(schema: Any) -> Any:
    return schema["properties"]["data"]


def _more_required(schema: Any) -> None:
    _data(schema)["required"].append("mfa")


def _value_gone(schema: Any) -> None:
    schema["properties"]["action"]["enum"].remove("role.created")


def _closed(schema: Any) -> None:
    _data(schema)["additionalProperties"] = False


def _null_refused(schema: Any) -> None:
    _data(schema)["properties"]["mfa"] = {"type": "boolean"}


def _shorter(schema: Any) -> None:
    schema["properties"]["id"]["maxLength"] -= 1


def _other_pattern(schema: Any) -> None:
    schema["properties"]["orgid"]["pattern"] = "^org_"


def _other_type(schema: Any) -> None:
    schema["properties"]["source"]["type"] = "integer"


@pytest.mark.parametrize(
    ("path", "change", "told"),
    [
        (ENTRY, _value_gone, '$.action: "role.created" is gone'),
        (LOGIN, _more_required, "$.data.mfa: required"),
        (LOGIN, _closed, "$.data.*: closed"),
        (LOGIN, _null_refused, "$.data.mfa: type"),
        (LOGIN, _shorter, "$.id: maxLength"),
        (LOGIN, _other_pattern, "$.orgid: pattern"),
        (LOGIN, _other_type, "$.source: type"),
    ],
)
def test_a_narrower_schema_is_told(path: str, change: Callable[[Any], None], told: str) -> None:
    """Each way of refusing more is found, and found where it is."""
    changed = copy.deepcopy(NOW[path])
    change(changed)
    assert narrowings(NOW[path], changed) == [told]


def test_alternatives_are_compared_as_deep_as_they_lie() -> None:
    """One of several may be several in turn; one that takes all of it is enough."""

    def nested(most: int) -> dict[str, Any]:
        """Return a text of so many characters, or nothing, or a number."""
        text = {"anyOf": [{"type": "string", "maxLength": most}, {"type": "null"}]}
        return {"$defs": {"Text": text}, "anyOf": [{"$ref": "#/$defs/Text"}, {"type": "integer"}]}

    assert narrowings(nested(2), nested(1)) == ["$: maxLength"]
    assert narrowings(nested(1), nested(2)) == []


def test_a_field_that_is_not_always_there_any_more_is_told() -> None:
    """Its readers did not look for its absence; nor may it go from within."""
    changed = copy.deepcopy(NOW[ENTRY])
    changed["required"].remove("seq")
    changed["$defs"]["Target"]["required"].remove("type")
    assert narrowings(NOW[ENTRY], changed) == []
    told = ["$.seq: not always there", "$.target.type: not always there"]
    assert sorted(no_longer_said(NOW[ENTRY], changed)) == told


def test_what_is_wider_is_no_narrowing() -> None:
    """More optional members, and less that is required or bounded, are compatible."""
    changed = copy.deepcopy(NOW[LOGIN])
    _data(changed)["properties"]["later"] = {"type": "string"}
    _data(changed)["required"].remove("method")
    del changed["properties"]["id"]["maxLength"]
    assert narrowings(NOW[LOGIN], changed) == []
