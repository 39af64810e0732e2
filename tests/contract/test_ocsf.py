"""OCSF: every event obeys the schema of 1.8.0, and the rules that the schema does not state."""

import json
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft202012Validator
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

from processor.forward.messages import sample
from processor.siem.ocsf import COMMON, LAST, OF_CLASS, event, heartbeat
from schemas.catalogue import (
    CATALOGUE,
    OCSF_CATEGORIES,
    OCSF_CLASSES,
    OCSF_SEVERITIES,
    ocsf_severity,
)
from schemas.entry import Entry, render
from tests.contract.siem_examples import HEARTBEAT, entries
from tests.property.siem_entries import WAYS, entry_of, full
from tests.property.siem_entries import entries as any_entries

SCHEMA = get_ocsf_schema("1.8.0")
NAMES = {each["uid"]: name for name, each in SCHEMA["classes"].items()}
EVENTS = {name: json.loads(event(entry)) for name, entry in entries().items()}

VAULT = {"name": "Hub Vault", "uid": "p-vault", "type": "product"}


@cache
def validator(class_uid: int) -> Draft202012Validator:
    """Return the validator of a class without profiles."""
    schema = OcsfJsonSchemaEmbedded(SCHEMA).get_class_schema(NAMES[class_uid])
    return Draft202012Validator(schema)


def assert_valid(made: dict[str, Any]) -> None:
    """Check an event against the schema of its class, and its ids against each other."""
    errors = [error.message for error in validator(made["class_uid"]).iter_errors(made)]
    assert errors == []
    assert made["type_uid"] == made["class_uid"] * 100 + made["activity_id"]
    assert made["category_uid"] == made["class_uid"] // 1000
    assert_captions(made)


def assert_captions(made: dict[str, Any]) -> None:
    """Check that each name is what the schema calls the number beside it."""
    attributes = SCHEMA["classes"][NAMES[made["class_uid"]]]["attributes"]
    for number, name in (
        ("activity_id", "activity_name"),
        ("category_uid", "category_name"),
        ("class_uid", "class_name"),
        ("type_uid", "type_name"),
        ("severity_id", "severity"),
        ("status_id", "status"),
    ):
        if number not in made:
            assert name not in made
            continue
        caption = attributes[number]["enum"][str(made[number])]["caption"]
        if number == "activity_id" and made[number] == 99:
            assert made[name] not in {"Other", ""}
        else:
            assert made[name] == caption


def assert_observables(made: dict[str, Any]) -> None:
    """Check that each observable's name leads to its value."""
    for each in made.get("observables", ()):
        node = made
        for key in each["name"].split("."):
            node = node[key]
        assert node == each["value"]


@pytest.mark.parametrize("name", EVENTS)
def test_example_obeys_the_schema(name: str) -> None:
    """Each action's example, of success and failure, of users and roles."""
    assert_valid(EVENTS[name])
    assert_observables(EVENTS[name])


@pytest.mark.parametrize(
    ("name", "path"), [("user.updated", "entity.user"), ("user.created", "user")]
)
def test_address_of_the_user_concerned_is_an_observable(name: str, path: str) -> None:
    """Of whichever class the event is."""
    told = {each["name"]: each["value"] for each in EVENTS[name]["observables"]}
    assert told[f"{path}.email_addr"] == "max.member@acme.example"


@pytest.mark.parametrize("outcome", ["success", "failure"])
@pytest.mark.parametrize(("action", "target"), WAYS)
def test_barest_and_fullest_obey_the_schema(action: str, target: str, outcome: str) -> None:
    """With everything missing and with everything there."""
    bare = entry_of(action, target, outcome=outcome)
    for entry in (bare, full(action, target, outcome)):
        made = json.loads(event(entry))
        assert_valid(made)
        assert_observables(made)
        assert made["status_id"] == {"success": 1, "failure": 2}[outcome]
        assert made["severity_id"] == ocsf_severity(entry["severity"])


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(any_entries())
def test_anything_obeys_the_schema(entry: Entry) -> None:
    """Whatever is in an entry, the event is valid, and the whole entry is in it."""
    made = json.loads(event(entry))
    assert_valid(made)
    assert_observables(made)
    assert made["unmapped"] == json.loads(render(entry))


@pytest.mark.parametrize("name", EVENTS)
def test_what_is_lossy_is_kept(name: str) -> None:
    """28 actions fall on fewer types: the action stands beside, and so does the whole entry."""
    entry, made = entries()[name], EVENTS[name]
    assert made["metadata"]["event_code"] == entry["action"]
    assert made["metadata"]["uid"] == entry["entry_id"]
    assert made["metadata"]["sequence"] == entry["seq"]
    assert made["metadata"]["tenant_uid"] == entry["org_id"]
    assert made["metadata"]["version"] == "1.8.0"
    assert made["unmapped"] == entry


@pytest.mark.parametrize(
    ("name", "session"),
    [
        ("auth.logout.forced", {"uid": "s-9b1c"}),
        ("auth.session_expired.revoked", {"uid": "s-9b1d", "expiration_reason": "revoked"}),
    ],
)
def test_session_that_is_taken_away_is_not_the_administrators(
    name: str, session: dict[str, str]
) -> None:
    """Who is logged out nobody tells; the session is theirs, and not the administrator's."""
    made = EVENTS[name]
    assert made["user"] == {"name": "Unknown", "type_id": 0, "type": "Unknown"}
    assert made["actor"] == {"user": made["actor"]["user"]}
    assert made["actor"]["user"]["uid"] == "u-1001"
    assert made["session"] == session
    assert made["status_detail"] == "LOGOFF_OTHER"
    assert EVENTS["auth.logout"]["user"]["uid"] == "u-1002"
    assert EVENTS["auth.logout"]["actor"]["session"] == {"uid": "s-7f3a"}


@pytest.mark.parametrize("name", EVENTS)
def test_entry_stands_before_what_may_be_large(name: str) -> None:
    """Rules ask for what is in the entry, and Splunk makes fields of an event's beginning alone."""
    fields = list(EVENTS[name])
    own = {field.path for field in OF_CLASS[EVENTS[name]["class_uid"]]}
    assert own.isdisjoint(fields[: fields.index("unmapped")])


def test_times_are_in_milliseconds() -> None:
    """When it happened is the event's time, when it came on the bus that of logging."""
    made = json.loads(event(entry_of("user.created", "user")))
    assert (made["time"], made["metadata"]["logged_time"]) == (1795428000123, 1795428001000)


@pytest.mark.parametrize(
    ("name", "user", "privileges"),
    [
        ("role.assigned", "u-1002", ["role:Billing Admin"]),
        ("role.unassigned", "u-1002", ["role:Billing Admin"]),
        ("product_access.granted", "u-1002", ["level:editor"]),
        ("product_access.revoked", "u-1002", ["level:editor"]),
        ("permission.granted.user", "u-1002", ["invoice.download"]),
        ("permission.revoked", "u-1002", ["invoice.download", "plan.change"]),
        ("permission.bulk_updated", "u-1002", ["audit.view", "plan.change"]),
    ],
)
def test_access_says_who_and_what(name: str, user: str, privileges: list[str]) -> None:
    """User Access Management names the user and what was given or taken."""
    assert EVENTS[name]["class_uid"] == 3005
    assert EVENTS[name]["user"]["uid"] == user
    assert EVENTS[name]["privileges"] == privileges


@pytest.mark.parametrize(
    ("name", "entity", "type_id", "result"),
    [
        ("user.updated", "User", 2, True),
        ("role.created", "Role", 99, True),
        ("role.deleted", "Role", 99, False),
        ("product_access.granted.role", "Role", 99, True),
        ("billing.plan_changed", "Subscription", 99, True),
        ("billing.payment_method_updated", "Payment Method", 99, True),
        ("billing.invoice_generated", "Invoice", 99, True),
    ],
)
def test_entity_says_what_it_is(name: str, entity: str, type_id: int, *, result: bool) -> None:
    """Entity Management names the kind of thing, how it was and how it is."""
    made = EVENTS[name]
    assert (made["class_uid"], made["entity"]["type"]) == (3004, entity)
    assert made["entity"]["type_id"] == type_id
    assert ("entity_result" in made) == result
    details = made["unmapped"]["details"]
    told = {} if name != "product_access.granted.role" else {"resources": [VAULT]}
    assert made["entity"].get("data", {}) == told | details.get("old", {})
    if result:
        assert made["entity_result"]["data"] == told | details["new"]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("permission.granted", {"permissions_added": ["invoice.download"]}),
        ("permission.revoked.role", {"permissions_removed": ["invoice.download"]}),
        (
            "permission.bulk_updated.role",
            {"permissions_removed": ["plan.change"], "permissions_added": ["invoice.download"]},
        ),
    ],
)
def test_permissions_of_a_role_are_differences(name: str, data: dict[str, list[str]]) -> None:
    """What a role got or lost is not all that it has: nothing claims to be its state."""
    made = EVENTS[name]
    assert (made["class_uid"], made["entity"]["uid"]) == (3004, "r-12")
    assert made["entity"]["data"] == data
    assert "entity_result" not in made


def test_role_that_gets_access_is_the_entity() -> None:
    """The product is in its data, as the class has no resources: after a failure as well."""
    assert EVENTS["product_access.granted.role"]["entity"]["uid"] == "r-12"
    details = {"grantee": {"type": "role", "id": "r-12"}, "new": {"level": "editor"}}
    refused = entry_of("product_access.granted", "product", outcome="failure", details=details)
    made = json.loads(event(refused | {"target": {"type": "product", "id": "p-vault"}}))
    assert_valid(made)
    assert made["entity"]["data"] == {"resources": [{"uid": "p-vault", "type": "product"}]}
    assert "entity_result" not in made


def test_failed_login_is_of_the_account_that_was_tried() -> None:
    """It has the type of a successful one: the status tells them apart, and says why."""
    won, lost = EVENTS["auth.login_success"], EVENTS["auth.login_failed"]
    assert won["type_uid"] == lost["type_uid"] == 300201
    assert (won["status_id"], lost["status_id"]) == (1, 2)
    assert lost["status_detail"] == "INVALID_CREDENTIALS"
    assert lost["user"]["email_addr"] == "max.member@acme.example"
    assert "actor" not in lost
    assert EVENTS["auth.logout"]["status_detail"] == "LOGOFF_USER_INITIATED"
    assert EVENTS["auth.session_expired"]["status_detail"] == "LOGOFF_OTHER"
    assert EVENTS["auth.session_expired"]["session"]["expiration_reason"] == "idle_timeout"


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("unknown_account", "USER_DOES_NOT_EXIST"),
        ("locked", "ACCOUNT_LOCKED_OUT"),
        ("disabled", "ACCOUNT_DISABLED"),
        ("mfa_failed", "MFA_FAILED"),
        ("Locked since Monday", "Locked since Monday"),
    ],
)
def test_failed_login_says_why_in_the_words_of_ocsf(reason: str, word: str) -> None:
    """Rules on its words find them; what it has no word for is kept."""
    lost = entry_of("auth.login_failed", "user", outcome="failure", outcome_reason=reason)
    assert json.loads(event(lost))["status_detail"] == word


@pytest.mark.parametrize(
    ("told", "word"), [({"outcome_reason": "backend_down"}, "BACKEND_DOWN"), ({}, None)]
)
def test_failed_logout_is_no_logoff(told: dict[str, str], word: str | None) -> None:
    """Nobody was logged off: it says why not, if that is told, and not why it was tried."""
    details = {"reason": "logout"}
    lost = entry_of("auth.logout", "session", outcome="failure", details=details, **told)
    assert json.loads(event(lost)).get("status_detail") == word


def test_nothing_came_of_a_failed_attempt() -> None:
    """An entity that was not changed has no result."""
    made = json.loads(event(full("role.updated", "role", "failure")))
    assert "entity_result" not in made


def test_address_that_ocsf_refuses_stands_in_the_name() -> None:
    """Its type for addresses knows ASCII alone; nothing is lost by that."""
    actor = {"type": "user", "id": "u-1", "email": "zoë@exämple.de"}
    made = json.loads(event(entry_of("user.created", "user", actor=actor)))
    assert made["actor"]["user"] == {
        "name": "zoë@exämple.de",
        "uid": "u-1",
        "type_id": 1,
        "type": "User",
    }


def test_heartbeat_is_a_base_event() -> None:
    """It has no class, so that no rule on a class ever meets it."""
    made = json.loads(heartbeat(HEARTBEAT))
    assert_valid(made)
    assert (made["class_uid"], made["metadata"]["event_code"]) == (0, "hub.heartbeat")
    assert made["metadata"]["sequence"] == 31


def test_test_event_is_valid() -> None:
    """What a subscriber tries the subscription with passes every check that an entry does."""
    made = json.loads(event(sample("acme", "2026-11-23T10:00:00.000Z")))
    assert_valid(made)
    assert (made["metadata"]["sequence"], made["user"]["name"]) == (0, "Hub Audit test event")


def test_catalogue_calls_things_as_ocsf_does() -> None:
    """Categories, classes, activities and severities, and no class that is not used."""
    used: dict[int, set[int]] = {}
    for row in CATALOGUE.values():
        for mapping in filter(None, (row.mapping, row.role_mapping)):
            ids = mapping.ocsf.v1_8
            used.setdefault(ids.class_uid, set()).add(ids.activity_id)
    assert {uid: set(activities) for uid, (_, activities) in OCSF_CLASSES.items()} == used
    for uid, (caption, activities) in OCSF_CLASSES.items():
        attributes = SCHEMA["classes"][NAMES[uid]]["attributes"]
        assert SCHEMA["classes"][NAMES[uid]]["caption"] == caption
        for activity, name in activities.items():
            assert attributes["activity_id"]["enum"][str(activity)]["caption"] == name
    captions = {
        each["uid"]: each["caption"] for each in SCHEMA["categories"]["attributes"].values()
    }
    assert captions | OCSF_CATEGORIES == captions
    severities = SCHEMA["classes"]["base_event"]["attributes"]["severity_id"]["enum"]
    assert {int(n): each["caption"] for n, each in severities.items()} | OCSF_SEVERITIES == {
        int(n): each["caption"] for n, each in severities.items()
    }


def test_field_tables_have_every_required_attribute() -> None:
    """What the schema requires of a class stands in its table, and nothing stands there twice."""
    for uid, own in OF_CLASS.items():
        paths = [field.path for field in (*COMMON, *own, *LAST)]
        assert len(set(paths)) == len(paths)
        required = set(validator(uid).schema["required"])
        assert required <= {path.split(".")[0] for path in paths}


@pytest.mark.parametrize(
    "fault",
    [
        {"activity_id": 77},
        {"type_uid": 300999},
        {"user": ...},
        {"service": ...},
        {"time": "2026-11-23"},
        {"surprise": 1},
    ],
    ids=str,
)
def test_fault_is_seen(fault: dict[str, Any]) -> None:
    """The schema is one that refuses: each deliberate fault is caught."""
    spoiled = {k: v for k, v in {**EVENTS["auth.login_success"], **fault}.items() if v is not ...}
    assert list(validator(3002).iter_errors(spoiled)) != []
