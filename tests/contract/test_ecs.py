"""ECS: categories and types that belong together, and fields of the types that ECS gives them."""

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings

from processor.forward import messages
from processor.forward.messages import Chain, sample
from processor.siem.ecs import FIELDS, GAPS_MAX, document, heartbeat
from processor.siem.heartbeat import Gap
from processor.store.recovery import LOST_COMMITS
from schemas.catalogue import CATALOGUE
from schemas.entry import Entry, render
from tests.contract.siem_examples import HEARTBEAT, entries
from tests.property.siem_entries import WAYS, entry_of, full
from tests.property.siem_entries import entries as any_entries
from tests.unit.test_forward_standing import a_subscription

SIEM = Path(__file__).parents[2] / "deploy" / "siem"
# The types that ECS expects of an event in a category (its page on event.category).
ALLOWED = {
    "authentication": {"start", "end", "info"},
    "session": {"start", "end", "info"},
    "iam": {"admin", "change", "creation", "deletion", "group", "info", "user"},
    "configuration": {"access", "change", "creation", "deletion", "info"},
}

# The fields of ECS that are used, with the JSON type that each has.
TYPES: dict[str, type | tuple[type, ...]] = {
    "@timestamp": str,
    "ecs.version": str,
    "event.category": list,
    "event.type": list,
    "event.severity": int,
    "event.sequence": int,
    "source.port": int,
    "related.user": list,
    "related.ip": list,
    "user.target.roles": list,
}

DOCUMENTS = {name: json.loads(document(entry)) for name, entry in entries().items()}


def flat(node: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a document with the path of each value."""
    found: dict[str, Any] = {}
    for key, value in node.items():
        inner = flat(value, f"{prefix}{key}.") if isinstance(value, dict) else None
        found |= {f"{prefix}{key}": value} if inner is None else inner
    return found


def assert_right(made: dict[str, Any]) -> None:
    """Check the categories against the types, and every field's type."""
    types, categories = set(made["event"]["type"]), made["event"]["category"]
    assert types
    assert types <= set.union(*(ALLOWED[category] for category in categories))
    for path, value in flat(made).items():
        assert isinstance(value, TYPES.get(path, str)), path
    labels = made["labels"].values()
    assert all(isinstance(label, str) for label in labels)


@pytest.mark.parametrize("action", CATALOGUE)
def test_types_belong_to_the_category(action: str) -> None:
    """Each pair of the catalogue is one that ECS expects, for users and for roles."""
    row = CATALOGUE[action]
    for mapping in filter(None, (row.mapping, row.role_mapping)):
        for kind in mapping.ecs.type:
            assert any(kind in ALLOWED[category] for category in mapping.ecs.category)
        for category in mapping.ecs.category:
            assert ALLOWED[category] & set(mapping.ecs.type)


@pytest.mark.parametrize("outcome", ["success", "failure"])
@pytest.mark.parametrize(("action", "target"), WAYS)
def test_barest_and_fullest_are_right(action: str, target: str, outcome: str) -> None:
    """With everything missing and with everything there."""
    for entry in (entry_of(action, target, outcome=outcome), full(action, target, outcome)):
        made = json.loads(document(entry))
        assert_right(made)
        assert made["event"]["outcome"] == outcome
        assert made["event"]["action"] == action


@settings(max_examples=150, deadline=None)
@given(any_entries())
def test_anything_is_right(entry: Entry) -> None:
    """Whatever is in an entry: and it stands whole in ``event.original``."""
    made = json.loads(document(entry))
    assert_right(made)
    assert made["event"]["original"] == render(entry).decode()


def test_fullest_has_every_field() -> None:
    """Between them the fullest entries fill in the whole table: no field is never written."""
    written = {
        path for action, target in WAYS for path in flat(json.loads(document(full(action, target))))
    }
    assert written == {field.path for field in FIELDS}


def test_identity_is_the_entrys() -> None:
    """``event.id`` is the entry's: taken as ``_id``, it makes a replay idempotent."""
    for name, entry in entries().items():
        event = DOCUMENTS[name]["event"]
        assert (event["id"], event["sequence"]) == (entry["entry_id"], entry["seq"])
        assert DOCUMENTS[name]["@timestamp"] == entry["occurred_at"]
        assert DOCUMENTS[name]["organization"]["id"] == entry["org_id"]


def test_login_is_of_the_account_that_was_tried() -> None:
    """Rules that count failures by user find one, although nobody was recognized."""
    user = DOCUMENTS["auth.login_failed"]["user"]
    assert user == {"name": "max.member@acme.example", "email": "max.member@acme.example"}
    assert "target" not in DOCUMENTS["auth.login_success"]["user"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [("auth.logout.forced", "admin_logout"), ("auth.session_expired.revoked", "revoked")],
)
def test_session_that_is_taken_away_is_not_the_administrators(name: str, reason: str) -> None:
    """Whose session it was nobody tells: the administrator is found, but not as who logs out."""
    made = DOCUMENTS[name]
    assert "user" not in made
    assert "u-1001" in made["related"]["user"]
    assert made["event"]["reason"] == reason
    assert DOCUMENTS["auth.logout"]["user"]["id"] == "u-1002"
    assert DOCUMENTS["auth.session_expired"]["user"]["id"] == "u-1002"


def test_user_concerned_is_the_target() -> None:
    """The one who got a role or access, beside the actor who gave it."""
    for name in ("role.assigned", "product_access.granted", "permission.granted.user"):
        made = DOCUMENTS[name]
        assert made["user"]["id"] == "u-1001"
        assert made["user"]["target"]["id"] == "u-1002"
        assert {"u-1001", "u-1002"} <= set(made["related"]["user"])
    assert DOCUMENTS["role.assigned"]["user"]["target"]["roles"] == ["Member", "Billing Admin"]
    assert "roles" not in DOCUMENTS["role.assigned.failure"]["user"]["target"]


def test_role_concerned_is_the_group() -> None:
    """Where a role changes or gets something, no user is the target."""
    for name in ("role.created", "permission.granted", "product_access.granted.role"):
        assert DOCUMENTS[name]["group"] == {"id": "r-12", "name": "Billing Admin"}
        assert "target" not in DOCUMENTS[name]["user"]


def test_support_acts_for_somebody() -> None:
    """Whose rights were used is the effective user."""
    made = json.loads(document(full("user.created", "user")))
    assert made["user"]["effective"] == {"id": "u-9", "email": "max@example.com"}
    assert {"u-9", "max@example.com"} <= set(made["related"]["user"])


def test_related_users_are_all_that_are_named() -> None:
    """Whoever looks for somebody finds what was done for them and under which address."""
    for action, target in WAYS:
        made = json.loads(document(full(action, target)))
        named = {
            value
            for path, value in flat(made).items()
            if path.startswith("user.") and path != "user.target.roles"
        }
        assert named <= set(made["related"]["user"]), action


def test_what_is_no_address_is_no_ip() -> None:
    """Elasticsearch would refuse the document: the text goes where texts may be."""
    made = json.loads(document(entry_of("user.created", "user", ip_raw="AWS Internal")))
    assert made["source"] == {"address": "AWS Internal"}
    assert "related" not in made or "ip" not in made["related"]


def test_test_event_is_right() -> None:
    """What a subscriber tries the subscription with passes every check that an entry does."""
    made = json.loads(document(sample("acme", "2026-11-23T10:00:00.000Z")))
    assert_right(made)
    assert (made["event"]["sequence"], made["user"]["name"]) == (0, "Hub Audit test event")


def test_heartbeat_is_a_state() -> None:
    """In no category, so that no rule on one ever meets it; the newest of a place replaces it."""
    made = json.loads(heartbeat(HEARTBEAT))
    assert made["event"]["kind"] == "state"
    assert "category" not in made["event"]
    assert (made["event"]["id"], made["@timestamp"]) == ("heartbeat-acme-31-30", HEARTBEAT.at)
    assert made["labels"]["hub_previous_seq"] == "28"


def test_gaps_of_a_heartbeat_are_found() -> None:
    """As many as one may have are a keyword that the template indexes."""
    gaps = [Gap(2**63 - 1, 2**63 - 1, LOST_COMMITS)] * GAPS_MAX
    text = json.loads(heartbeat(HEARTBEAT._replace(gaps=gaps)))["labels"]["hub_gaps"]
    assert json.loads(text) == [gap._asdict() for gap in gaps]
    template = json.loads((SIEM / "elasticsearch-template.json").read_text())
    (labels,) = [
        each["labels"]["mapping"]
        for each in template["template"]["mappings"]["dynamic_templates"]
        if "labels" in each
    ]
    assert len(text) <= labels["ignore_above"]


def test_heartbeats_that_tell_one_number_are_kept_apart() -> None:
    """What did not fit into one comes in another; neither takes the other's place.

    Nor does one that says later that nothing has happened, or one of a replay.
    """
    one = HEARTBEAT
    more = one._replace(previous_seq=31, gaps=[Gap(9, 9, "retention")])
    silent = one._replace(previous_seq=31, gaps=[])
    beats = (one, more, silent, silent._replace(replayed=True), one._replace(replayed=True))
    assert [beat.identifier for beat in beats] == [
        "heartbeat-acme-31-30",
        "heartbeat-acme-31-9",
        "heartbeat-acme-31",
        "heartbeat-acme-replay-31",
        "heartbeat-acme-replay-31-30",
    ]


def test_heartbeat_of_a_replay_is_kept_apart() -> None:
    """One that ends where live delivery stands does not take the place of what that said."""
    each = a_subscription(format="ecs")
    made = [
        messages.heartbeat(each, Chain(5, 3), (), HEARTBEAT.at, replay)[0].value
        for replay in (None, UUID(int=1))
    ]
    ids = [json.loads(value or b"")["event"]["id"] for value in made]
    assert ids == ["heartbeat-org-1-5", "heartbeat-org-1-replay-5"]
