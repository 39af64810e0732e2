"""raw.identity, row by row: what each type becomes."""

from typing import Any

import pytest

from tests.unit.normalized import ACTOR, DATA, USER, details, end, entry, reason, unchanged

SELF = {"type": "user", "id": "u-1", "name": "Ann", "email": "ann@acme.example"}
TARGET = {"type": "user", **USER}


def test_a_login_is_its_actor_s() -> None:
    """The target is the actor, as a user; what describes the login goes to extra."""
    told = {"method": "a-new-one", "mfa": False, "idp": "okta", "new_device": True}
    made = entry("identity.login.succeeded", told)
    assert (made["action"], made["outcome"], made["severity"]) == (
        "auth.login_success",
        "success",
        2,
    )
    assert (made["category"], made["target"]) == ("authentication", SELF)
    assert made["details"] == {"extra": told}
    service = entry("identity.login.succeeded", {"actor": {"type": "service", "id": "ci"}})
    assert service["target"] == {"type": "user", "id": "ci"}


def test_a_succeeded_login_cannot_have_failed() -> None:
    """There is a type for that."""
    assert reason("identity.login.succeeded", {"outcome": "failure"}) == "invalid_data"


@pytest.mark.parametrize("outcome", [..., None, "success", "failure"])
def test_a_failed_login_is_a_failure(outcome: Any) -> None:
    """Whatever it says of its outcome; its reason is that of the outcome, and no part of extra."""
    made = entry("identity.login.failed", {"outcome": outcome, "attempt": 3})
    assert (made["action"], made["outcome"]) == ("auth.login_failed", "failure")
    assert (made["outcome_reason"], made["severity"]) == ("invalid_credentials", 5)
    assert made["details"] == {"extra": {"method": "password", "attempt": 3}}


@pytest.mark.parametrize(
    ("actor", "identifier", "target"),
    [
        ({"type": "anonymous"}, " Bob@ACME.example ", {"email": "bob@acme.example"}),
        ({"type": "anonymous"}, None, {}),
        ({"type": "anonymous"}, "  ", {}),
        (ACTOR, "typed", {"id": "u-1", "email": "typed"}),
        (ACTOR, ..., {"id": "u-1", "email": "ann@acme.example"}),
        ({"type": "user", "email": "Ann@Acme.example"}, "", {"email": "ann@acme.example"}),
    ],
)
def test_a_failed_login_s_target_is_who_was_tried(actor: Any, identifier: Any, target: Any) -> None:
    """What was typed goes before what is known; an unknown account has no id."""
    made = entry("identity.login.failed", {"actor": actor, "identifier": identifier})
    assert made["target"] == {"type": "user", **target}


@pytest.mark.parametrize(
    ("cause", "action"),
    [
        ("logout", "auth.logout"),
        ("admin_logout", "auth.logout"),
        ("idle_timeout", "auth.session_expired"),
        ("absolute_timeout", "auth.session_expired"),
        ("revoked", "auth.session_expired"),
    ],
)
def test_a_session_ends_by_its_cause(cause: str, action: str) -> None:
    """The session is the target and the entry's own; the cause is the reason."""
    began = "2026-11-23T08:00:00Z"
    made = entry("identity.session.ended", {"cause": cause, "started_at": began})
    assert (made["action"], made["session_id"]) == (action, "s-1")
    assert made["target"] == {"type": "session", "id": "s-1"}
    assert made["details"] == {"reason": cause, "extra": {"started_at": began}}


def test_nothing_of_an_ended_session_is_lost() -> None:
    """A reason beside the cause, and the session of whoever ended it, go to extra."""
    told = {"reason": "as asked", "client": {"session_id": "s-9"}}
    extra = {"client": {"session_id": "s-9"}, "reason": "as asked"}
    assert details("identity.session.ended", told) == {"reason": "logout", "extra": extra}
    failed = entry("identity.session.ended", {"reason": "gone", "outcome": "failure"})
    assert (failed["outcome_reason"], failed["details"]) == ("gone", {"reason": "logout"})
    same = {"client": {"session_id": "s-1"}}
    assert details("identity.session.ended", same) == {"reason": "logout"}


@pytest.mark.parametrize("outcome", ["success", "failure"])
def test_a_session_without_a_name_is_nobody_else_s(outcome: str) -> None:
    """An empty id is left out, and the session of whoever ended it does not stand in for it."""
    told = {"session_id": "", "outcome": outcome, "client": {"session_id": "s-9", "ip": "::1"}}
    made = entry("identity.session.ended", told)
    assert made["target"] == {"type": "session"}
    assert ("session_id" in made, made["ip"]) == (False, "::1")
    assert made["details"] == {"reason": "logout", "extra": {"client": {"session_id": "s-9"}}}
    for client in (..., None, {}, {"session_id": ""}, {"session_id": None}):
        alone = entry("identity.session.ended", {"session_id": "", "client": client})
        assert (alone["target"], "session_id" in alone) == ({"type": "session"}, False)
        assert alone["details"] == {"reason": "logout"}


def test_causes_are_closed() -> None:
    """An unknown cause could be either action."""
    assert reason("identity.session.ended", {"cause": "boredom"}) == "invalid_data"


def test_a_created_user_is_told_whole() -> None:
    """With members that nobody knows yet."""
    user = {**USER, "email": "Bob@Acme.example", "name": "Bob", "role": "x", "team": {"id": 7}}
    made = entry("identity.user.created", {"user": user})
    assert (made["action"], made["severity"]) == ("user.created", 4)
    assert made["target"] == {**TARGET, "name": "Bob"}
    assert made["details"] == {"new": {**user, "email": "bob@acme.example"}}


@pytest.mark.parametrize(
    ("before", "after", "old", "new"),
    [
        ({"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 1}, {"a": 2}),
        ({"a": 1}, {"a": 1, "b": 2}, {}, {"b": 2}),
        ({"a": 1, "b": 2}, {"a": 1, "b": None}, {"b": 2}, {}),
        ({"l": [1, 2]}, {"l": [2, 1]}, {"l": [1, 2]}, {"l": [2, 1]}),
        ({"a": True}, {"a": 1}, {"a": True}, {"a": 1}),
        ({"a": {"b": [0]}}, {"a": {"b": [False]}}, {"a": {"b": [0]}}, {"a": {"b": [False]}}),
        ({"email": "A@B"}, {"email": "c@d"}, {"email": "a@b"}, {"email": "c@d"}),
        ({"status": "active"}, {"status": "locked"}, {"status": "active"}, {"status": "locked"}),
        ({"a": "1"}, {"a": 1}, {"a": "1"}, {"a": 1}),
        ({"a": {}}, {"a": {"b": 1}}, {"a": {}}, {"a": {"b": 1}}),
        ({"a": []}, {"a": [1]}, {"a": []}, {"a": [1]}),
        ({"a": 1}, {"a": {"b": 1}}, {"a": 1}, {"a": {"b": 1}}),
        ({"a": {"b": 1}}, {"a": [1]}, {"a": {"b": 1}}, {"a": [1]}),
    ],
)
def test_an_updated_user_s_differences(before: Any, after: Any, old: Any, new: Any) -> None:
    """Only the keys that differ are told, as they were and as they are."""
    made = entry("identity.user.updated", {"before": before, "after": after})
    assert made["action"] == "user.updated"
    assert (made["target"], made["details"]) == (TARGET, {"old": old, "new": new})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {}),
        ({"a": 1}, {"a": 1}),
        ({"a": 1}, {"a": 1.0}),
        ({"a": None}, {}),
        ({"a": {"b": None}}, {"a": {}}),
        ({"email": "A@B "}, {"email": "a@b"}),
        ({"x": {"email": ["A@B"]}}, {"x": {"email": ["a@b"]}}),
    ],
)
def test_an_update_without_a_difference_is_discarded(before: Any, after: Any) -> None:
    """Null is absent, and the case of an e-mail address no change."""
    assert unchanged("identity.user.updated", {"before": before, "after": after})


@pytest.mark.parametrize(
    ("before", "after", "action"),
    [
        ({"status": "active", "a": 1}, {"status": "deactivated", "a": 1}, "user.deactivated"),
        ({}, {"status": "deactivated"}, "user.deactivated"),
        ({"status": "active", "a": 1}, {"status": "deactivated"}, "user.updated"),
        ({"status": "deactivated"}, {"status": "active"}, "user.updated"),
        ({"status": "deactivated"}, {}, "user.updated"),
    ],
)
def test_deactivation_is_a_mere_change_of_status(before: Any, after: Any, action: str) -> None:
    """Only when nothing but the status differs."""
    assert entry("identity.user.updated", {"before": before, "after": after})["action"] == action


def test_an_invited_user_has_the_invitation_s_id() -> None:
    """Until it is accepted; what is not listed goes to extra."""
    invitation = {"id": "i-1", "email": "New@Acme.example", "role": "x", "expires_at": "soon"}
    made = entry("identity.user.invited", {"invitation": {**invitation, "by": "mail"}})
    assert made["action"] == "user.invited"
    assert made["target"] == {"type": "user", "id": "i-1", "email": "new@acme.example"}
    assert made["details"] == {
        "new": {"email": "new@acme.example", "role": "x", "expires_at": "soon"},
        "extra": {"invitation": {"by": "mail"}},
    }


def test_a_deactivated_user_was_active() -> None:
    """With a reason if there is one; what else is told of the user goes to extra."""
    made = entry("identity.user.deactivated", {"reason": "left", "user": {**USER, "team": "red"}})
    assert (made["action"], made["target"]) == ("user.deactivated", TARGET)
    assert made["details"] == {
        "old": {"status": "active"},
        "new": {"status": "deactivated"},
        "reason": "left",
        "extra": {"user": {"team": "red"}},
    }


def test_a_removed_user_is_told_as_it_was() -> None:
    """Whole, as old."""
    made = entry("identity.user.removed", {"reason": "left", "user": {**USER, "team": "red"}})
    assert (made["action"], made["target"], made["severity"]) == ("user.removed", TARGET, 6)
    assert made["details"] == {"old": {**USER, "team": "red"}, "reason": "left"}


def test_a_failed_attempt_is_an_entry() -> None:
    """The same action, its reason that of the outcome; of hub.iam.* one more severe."""
    made = entry("identity.user.removed", {"reason": "forbidden", "outcome": "failure"})
    assert (made["action"], made["outcome"], made["severity"]) == ("user.removed", "failure", 7)
    assert (made["outcome_reason"], "reason" in made["details"]) == ("forbidden", False)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("identity.login.succeeded", {"method": ...}),
        ("identity.login.succeeded", {"method": 7}),
        ("identity.login.succeeded", {"mfa": "yes"}),
        ("identity.login.succeeded", {"new_device": 1}),
        ("identity.login.failed", {"method": ...}),
        ("identity.login.failed", {"reason": None}),
        ("identity.login.failed", {"attempt": "3"}),
        ("identity.login.failed", {"attempt": True}),
        ("identity.login.failed", {"identifier": ["a"]}),
        ("identity.session.ended", {"session_id": ...}),
        ("identity.session.ended", {"cause": ["logout"]}),
        ("identity.user.created", {"user": ...}),
        ("identity.user.created", {"user": {"id": "u"}}),
        ("identity.user.updated", {"before": ...}),
        ("identity.user.updated", {"after": []}),
        ("identity.user.updated", {"user": {"email": "x"}}),
        ("identity.user.invited", {"invitation": {"id": "i"}}),
        ("identity.user.deactivated", {"user": "u-1"}),
        ("identity.user.removed", {"user": {}}),
    ],
)
def test_missing_or_ill_typed_data_is_rejected(name: str, changed: Any) -> None:
    """With the path and what was expected, never the value."""
    rejection = end(name, changed)
    assert rejection.reason == "invalid_data"
    (field, _), *_ = changed.items()
    assert rejection.detail.startswith(f"$.data.{field}")


@pytest.mark.parametrize("odd", [7, [], {}, True])
def test_a_field_that_the_contract_does_not_know_never_rejects(odd: Any) -> None:
    """Not even under the name of a field that another type knows."""
    told = details("identity.user.updated", {"user": {**USER, "name": odd}, "method": odd})
    assert told["extra"] == {"user": {"name": odd}, "method": odd}
    named = entry("identity.user.updated", {"user": {**USER, "name": "Bob"}})
    assert (named["target"]["name"], "extra" in named["details"]) == ("Bob", False)
    assert DATA["identity.user.updated"]["user"] is USER
