"""raw.billing and raw.audit, row by row: what each type becomes."""

from typing import Any

import pytest

from tests.unit.normalized import DATA, INVOICE, details, end, entry, reason, unchanged

PLAN = "billing.subscription.updated"
CARD = "billing.payment_method.updated"
TEAM = {"id": "team", "name": "Team"}
PRO = {"id": "pro", "name": "Pro"}


@pytest.mark.parametrize(
    ("previous", "current", "old", "new"),
    [
        ({"plan": TEAM}, {"plan": PRO}, {"plan": TEAM}, {"plan": PRO}),
        ({"seats": 5}, {"seats": 6}, {"seats": 5}, {"seats": 6}),
        ({"interval": "month"}, {"interval": "year"}, {"interval": "month"}, {"interval": "year"}),
        ({}, {"plan": PRO, "seats": 1}, {}, {"plan": PRO, "seats": 1}),
        ({"plan": TEAM, "seats": None}, {}, {"plan": TEAM}, {}),
        ({"plan": TEAM, "seats": 5}, {"plan": TEAM}, {"seats": 5}, {}),
        ({"plan": TEAM}, {"plan": TEAM, "interval": "year"}, {}, {"interval": "year"}),
        (
            {"plan": {**TEAM, "price": 1}, "seats": 5, "status": "x"},
            {"plan": {**PRO, "price": 2}, "seats": 5, "status": "y"},
            {"plan": TEAM},
            {"plan": PRO},
        ),
    ],
)
def test_a_plan_change_is_told_as_far_as_it_differs(
    previous: Any, current: Any, old: Any, new: Any
) -> None:
    """Of plan, seats and interval; the subscription goes to extra."""
    made = entry(PLAN, {"previous": previous, "current": current})
    assert (made["action"], made["category"]) == ("billing.plan_changed", "billing")
    plan = {k: v for k, v in current.get("plan", {}).items() if k != "price"}
    assert made["target"] == {"type": "plan", **plan}
    assert made["details"] == {"old": old, "new": new, "extra": {"subscription": {"id": "sub-1"}}}


@pytest.mark.parametrize(
    ("previous", "current"),
    [
        ({}, {}),
        ({"schedule": "a", "status": "x", "metadata": {}}, {"schedule": "b"}),
        ({"plan": TEAM}, {"plan": {**TEAM, "name": "The Team"}}),
        ({"plan": TEAM}, {"plan": {**TEAM, "price": 7}}),
        ({"plan": None, "seats": 5}, {"seats": 5, "interval": None}),
    ],
)
def test_what_is_no_plan_change_is_discarded(previous: Any, current: Any) -> None:
    """A schedule, a status, metadata or another name of the same plan."""
    assert unchanged(PLAN, {"previous": previous, "current": current})


def test_of_a_payment_method_little_is_told() -> None:
    """Brand, last four digits and expiry; nothing else of it, known or not."""
    shown = {"brand": "visa", "last4": "4242", "exp_month": 4, "exp_year": 2031}
    method = {"id": "pm-1", **shown, "number": "4242424242424242", "owner": "Ann"}
    made = entry(CARD, {"payment_method": method})
    assert made["action"] == "billing.payment_method_updated"
    assert made["target"] == {"type": "payment_method", "id": "pm-1"}
    assert made["details"] == {"new": shown}


def test_a_payment_method_s_differences() -> None:
    """When the previous one is given; equal as far as it is told is no change."""
    previous = {"last4": "4242", "exp_year": 2027, "owner": "Bob"}
    method = {"id": "pm-1", "last4": "4242", "exp_year": 2031, "owner": "Ann"}
    told = details(CARD, {"payment_method": method, "previous": previous})
    assert told == {"old": {"exp_year": 2027}, "new": {"exp_year": 2031}}
    less = details(CARD, {"payment_method": {"id": "pm-1"}, "previous": {"brand": "visa"}})
    assert less == {"old": {"brand": "visa"}, "new": {}}
    assert unchanged(CARD, {"payment_method": method, "previous": {"id": "pm-0", **method}})
    assert unchanged(CARD, {"previous": {"last4": "4242"}})


def test_an_invoice_is_told_whole() -> None:
    """Its number is its name; its amount stays an integer."""
    made = entry("billing.invoice.finalized", {"invoice": {**INVOICE, "lines": 3}})
    assert (made["action"], made["severity"]) == ("billing.invoice_generated", 1)
    assert made["target"] == {"type": "invoice", "id": "in-1", "name": "A-1"}
    assert made["details"] == {"new": {**INVOICE, "lines": 3}}
    failed = entry("billing.invoice.finalized", {"outcome": "failure"})
    assert (failed["outcome"], failed["severity"]) == ("failure", 1)


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        (PLAN, {"subscription": {}}),
        (PLAN, {"previous": None}),
        (PLAN, {"current": {"seats": 1.5}}),
        (PLAN, {"current": {"plan": {"name": "Pro"}}}),
        (PLAN, {"current": {"interval": 1}}),
        (CARD, {"payment_method": {"last4": "4242"}}),
        (CARD, {"payment_method": {"id": "p", "last4": 4242}}),
        (CARD, {"previous": "visa"}),
        (CARD, {"previous": {"brand": ["visa"]}}),
        ("billing.invoice.finalized", {"invoice": {**INVOICE, "amount_minor": "1200"}}),
        ("billing.invoice.finalized", {"invoice": {**INVOICE, "amount_minor": 12.5}}),
        ("billing.invoice.finalized", {"invoice": {"id": "in-1"}}),
        ("audit.viewed", {"rows": "7"}),
        ("audit.finding.acknowledged", {"finding": {}}),
        ("audit.subscription.changed", {"subscription": None}),
        ("audit.subscription.changed", {"after": 1}),
        ("audit.retention.purged", {"day": ...}),
    ],
)
def test_missing_or_ill_typed_data_is_rejected(name: str, changed: Any) -> None:
    """Integers are integers, texts texts, objects objects."""
    assert reason(name, changed) == "invalid_data"


@pytest.mark.parametrize("part", ["payment_method", "previous"])
@pytest.mark.parametrize("month", [1.5, True, [], {}, {"int": 7}])
def test_a_detail_has_the_path_of_the_event_alone(part: str, month: Any) -> None:
    """Where one of two types is expected as well, and what is expected is said of both."""
    rejection = end(CARD, {part: {"id": "pm-1", "exp_month": month}})
    assert rejection.reason == "invalid_data"
    expected = "Input should be a valid integer or string"
    assert rejection.detail == f"$.data.{part}.exp_month: {expected}"


@pytest.mark.parametrize("year", [2031, "31", "", None])
def test_a_card_s_expiry_is_a_number_or_a_text(year: Any) -> None:
    """As it was sent; null is absent."""
    told = details(CARD, {"payment_method": {"id": "pm-1", "exp_year": year}})
    assert told == {"new": {} if year is None else {"exp_year": year}}


@pytest.mark.parametrize(
    ("name", "action", "target", "extra"),
    [
        ("audit.viewed", "viewed", {"type": "audit_log"}, DATA["audit.viewed"]),
        ("audit.exported", "exported", {"type": "audit_log"}, DATA["audit.exported"]),
        ("audit.denied", "denied", {"type": "audit_log"}, {"asked": "export"}),
        (
            "audit.finding.acknowledged",
            "finding_acknowledged",
            {"type": "finding", "id": "f-1"},
            {"finding": {"rule": "spraying"}},
        ),
        (
            "audit.retention.purged",
            "retention_purged",
            {"type": "audit_log"},
            DATA["audit.retention.purged"],
        ),
    ],
)
def test_the_log_of_the_log(name: str, action: str, target: Any, extra: Any) -> None:
    """What was done to the log, told in extra; severity 2, of a denial 5 and a failure."""
    made = entry(name)
    assert (made["action"], made["category"]) == (f"audit.{action}", "audit")
    assert (made["target"], made["details"]) == (target, {"extra": extra})
    denied = action == "denied"
    assert (made["outcome"], made["severity"]) == (("failure", 5) if denied else ("success", 2))
    assert made.get("outcome_reason") == ("no permission" if denied else None)


@pytest.mark.parametrize(
    ("before", "after", "old", "new"),
    [
        (None, {"a": 1}, {}, {"a": 1}),
        ({"a": 1}, ..., {"a": 1}, {}),
        ({"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 1}, {"a": 2}),
        ({"a": 1}, {"a": 1}, {}, {}),
    ],
)
def test_a_subscription_s_change_is_always_told(
    before: Any, after: Any, old: Any, new: Any
) -> None:
    """Also where nothing differs: whatever is done to the log is in the log."""
    told = {"subscription": {"id": "siem-1", "name": "Splunk", "org": 3}}
    made = entry("audit.subscription.changed", {**told, "before": before, "after": after})
    assert made["target"] == {"type": "subscription", "id": "siem-1", "name": "Splunk"}
    assert made["details"] == {"old": old, "new": new, "extra": {"subscription": {"org": 3}}}
