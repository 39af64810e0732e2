"""The examples hold together: raw ones become the canonical ones, one for every topic."""

import json

import pytest
from jsonschema import Draft202012Validator

from schemas.catalogue import CANONICAL_TOPICS, OWN_TOPICS
from schemas.generate import ROOT
from schemas.raw import audit, billing, identity, permission
from schemas.rejection import Discard, Rule
from tests.contract.canonical_examples import CANONICAL, RAW, documents, outcome

TOPICS = (*CANONICAL_TOPICS, *OWN_TOPICS)


@pytest.mark.parametrize("topic", TOPICS)
def test_canonical_example_is_what_normalizing_gives(topic: str) -> None:
    """Byte for byte: a change of the mapping shows here, in the form that subscribers see."""
    name = f"{topic}.json"
    assert (CANONICAL / name).read_text(encoding="utf-8") == documents()[name]


@pytest.mark.parametrize("topic", TOPICS)
def test_canonical_example_obeys_the_schema(topic: str) -> None:
    """The value is an entry, and the headers say the same as the value."""
    schema = json.loads((ROOT / "jsonschema" / "entry.json").read_text())
    example = json.loads((CANONICAL / f"{topic}.json").read_text())
    entry, headers = example["value"], example["headers"]
    assert list(Draft202012Validator(schema).iter_errors(entry)) == []
    assert list(entry) == [key for key in schema["properties"] if key in entry]
    assert (headers["ce_type"], headers["ce_hubaction"]) == (topic, entry["action"])
    assert (headers["ce_id"], headers["ce_orgseq"]) == (entry["entry_id"], str(entry["seq"]))
    assert headers["ce_dataschema"] == schema["$id"]


def test_every_topic_has_one_example_and_no_more() -> None:
    """No file is left over, and no two raw examples become events of the same topic."""
    assert {path.stem for path in CANONICAL.iterdir()} == set(TOPICS)
    seqs = [json.loads(text)["value"]["seq"] for text in documents().values()]
    assert seqs == list(range(1, len(TOPICS) + 1))


def test_what_is_not_audited_is_discarded() -> None:
    """The other raw examples are those of the types that are, on purpose, no audit events."""
    discarded = [p for i, p in enumerate(RAW) if outcome(p, i) == Discard(Rule.NOT_AUDITED)]
    families = (identity, permission, billing, audit)
    not_audited = {f"{name}.v1" for family in families for name in family.NOT_AUDITED}
    assert {path.stem for path in discarded} == not_audited
    assert len(RAW) == len(TOPICS) + len(discarded)
