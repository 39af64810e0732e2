"""Entries as the page shows them."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from processor.api import entry_view, html, view
from processor.query import parse
from schemas.entry import Entry
from schemas.query import Query
from tests.property.query_reference import matches
from tests.unit.canonical_entry import entry

SUPPORT = {
    "type": "support",
    "id": "sup-7",
    "on_behalf_of": {"id": "usr_9", "email": "bea@acme.example"},
}
LAST_DAY = datetime(2027, 2, 21, tzinfo=UTC)
"""On which the entry is still kept, after 90 days."""

BONDS = {"session_id": "ses_1", "request_id": "req_1", "correlation_id": "cor_1"}


def test_on_whose_behalf_somebody_acted_is_shown() -> None:
    """The row says for whom; the entry's fields do, and lead to all that was done for them."""
    found = entry(actor=SUPPORT)
    text = html.fragment("row.html", row=view.row(Query(), found))
    assert "<td>sup-7<small>for bea<wbr>@acme.example</small></td>" in text
    facts = {fact.name: fact for fact in entry_view.facts(Query(), found)}
    for name, value in (("On behalf of", "bea@acme.example"), ("On behalf of ID", "usr_9")):
        assert facts[name].value == value
        assert facts[name].only == view.log_url(parse(f"actor:{value}"))


def test_address_that_is_none_is_said_to_be_as_sent() -> None:
    """It is shown, under a name of its own, and leads nowhere."""
    facts = {
        fact.name: fact for fact in entry_view.facts(Query(), entry(ip_raw="unknown, 10.0.0.1"))
    }
    assert "IP address" not in facts
    assert facts["IP address as sent"] == ("IP address as sent", "unknown, 10.0.0.1", None, None)


def values(found: Entry) -> dict[str, str]:
    """Return what is shown of an entry, by name."""
    return {fact.name: fact.value for fact in entry_view.facts(Query(), found)}


def test_to_whom_product_access_was_granted_is_shown() -> None:
    """The row says for whom; so do fields, and none of them is in the JSON alone."""
    grantee = {"type": "user", "id": "usr_9", "email": "bea@acme.example", "name": "Bea"}
    found = entry(
        category="product_access",
        action="product_access.granted",
        target={"type": "product", "id": "prd_crm", "name": "CRM"},
        details={"grantee": grantee, "new": {"level": "editor"}},
    )
    text = html.fragment("row.html", row=view.row(Query(), found))
    assert "<td>CRM<small>for bea<wbr>@acme.example</small><small>product</small></td>" in text
    names = ("Grantee type", "Grantee ID", "Grantee", "Grantee name")
    assert [values(found)[name] for name in names] == list(grantee.values())


def test_what_somebody_sent_is_no_markup() -> None:
    """A name that holds a tag is shown with it."""
    found = entry(actor={"type": "user", "name": "<script>alert(1)</script>"})
    text = html.fragment("row.html", row=view.row(Query(), found))
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<script" not in text


DETAILS: dict[str, Any] = {
    "reason": "asked for",
    "role": {"id": "rol_1", "name": "Auditor"},
    "extra": {"seats": 7, "plan": {"name": "pro"}, "odd\u202e": "x"},
    "attributes": {"subject": "usr_9"},
    "truncated": ["$.data.a", "$.data.b"],
    "sanitized": ["$.data.c"],
}
SHOWN = {
    "Role": "Auditor",
    "Role ID": "rol_1",
    "Extra: seats": "7",
    "Extra: plan": '{\n  "name": "pro"\n}',
    "Extra: odd\ufffd": "x",
    "Attribute: subject": "usr_9",
    "Truncated": "$.data.a, $.data.b",
    "Sanitized": "$.data.c",
    "Time as sent": "without a zone: UTC was taken",
    "Happened": "2026-11-23T10:00:00.123Z",
    "Arrived": "2026-11-23T10:00:01.000Z",
    "Action": "user.created",
    "Category": "users",
    "Outcome": "success",
    "Reason": "asked for",
    "Severity": "4",
    "Organization": "acme",
    "Organization name": "Acme",
    "Actor": "zoe@acme.example",
    "Actor ID": "u-1",
    "Actor name": "Zoë",
    "Actor type": "user",
    "Target type": "user",
    "Target ID": "u-2",
    "Target name": "Bea",
    "Target email": "bea@acme.example",
    "IP address": "192.0.2.1",
    "IP port": "443",
    "User agent": "curl/8",
    "Session": "ses_1",
    "Request": "req_1",
    "Correlation": "cor_1",
    "Trace": "4bf92f3577b34da6a3ce929d0e0e4736",
    "Span": "00f067aa0ba902b7",
    "Source": "/hub/identity",
    "Event type": "identity.user.created, version 1",
    "Event ID": "evt-1",
    "Record": "raw.identity/3/41",
    "Record's SHA-256": "ab" * 32,
    "Normalizer": "1",
    "Sequence number": "42",
    "Entry ID": "01a207d9-217b-828a-a137-81caa759c1be",
}


SUBSCRIBED, VIEWED = "audit.subscription_changed", "audit.viewed"


@pytest.mark.parametrize(
    ("action", "details", "said"),
    [
        (SUBSCRIBED, {"new": {"state": "active", "filter": {}}}, "created"),
        (SUBSCRIBED, {"old": {"state": "active"}, "new": {"state": "paused"}}, "paused"),
        (SUBSCRIBED, {"old": {"state": "paused"}, "new": {"state": "active"}}, "resumed"),
        (SUBSCRIBED, {"old": {"state": "active"}, "new": {"state": "deleted"}}, "deleted"),
        (SUBSCRIBED, {"new": {"test": True}}, "test event"),
        (SUBSCRIBED, {"new": {"replay": {"after_seq": 4}}}, "replay after entry 4"),
        (SUBSCRIBED, {"new": {"replay": {"after_seq": 4, "through_seq": 9}}},
         "replay after entry 4 up to 9"),
        (SUBSCRIBED, {}, ""),
        (VIEWED, {"extra": {"filter": {"query": "ada <b> created:7d"}, "rows": 3}},
         "ada &lt;b&gt; created:7d"),
        (VIEWED, {"extra": {"filter": {"query": ""}, "rows": 3}}, "every entry"),
        (VIEWED, {"extra": {"filter": {"query": "created:7d", "tail": True}, "after_seq": 2}},
         "followed live: created:7d after entry 2"),
        (VIEWED, {"extra": {"filter": {"query": "", "counted": True}}}, "counted: every entry"),
        (VIEWED, {"extra": {"filter": {"feed": True}, "after_seq": 0}}, "feed after entry 0"),
        (VIEWED, {"extra": {"filter": {"ranges": True}}}, "numbers of entries"),
        (VIEWED, {"extra": {"filter": {"findings": {"status": "open"}}}}, "findings status:open"),
        (VIEWED, {"extra": {"filter": {"category": "billing"}}}, ""),
        (VIEWED, {"extra": {"filter": "as others say it"}}, ""),
        (VIEWED, {}, ""),
        ("audit.exported", {"extra": {"filter": {"query": "created:7d"}, "format": "csv"}},
         "created:7d as csv"),
        ("audit.denied", {"extra": {"asked": "/siem"}}, "/siem"),
        ("audit.exported", {"extra": {"filter": {"query": "x" * 900}}}, "x" * 199 + "…"),
    ],
)  # fmt: skip
def test_row_of_the_log_of_the_log_says_what_was_done(
    action: str, details: dict[str, Any], said: str
) -> None:
    """Orders of a subscription, and looks at the log, are told apart without opening them."""
    found = entry(category="audit", action=action, target={"type": "audit_log"}, details=details)
    text = html.fragment("row.html", row=view.row(Query(), found))
    about = f'<small class="about">{said}</small>' if said else ""
    assert f"<td>{about}<small>audit_log</small></td>" in text


def test_every_field_of_an_entry_is_shown() -> None:
    """Whatever an entry holds beside old and new, it is a field of its own with its name."""
    found = entry(
        details=DETAILS,
        org_name="Acme",
        actor={"type": "user", "id": "u-1", "email": "zoe@acme.example", "name": "Zoë"},
        target={"type": "user", "id": "u-2", "email": "bea@acme.example", "name": "Bea"},
        ip="192.0.2.1",
        ip_port=443,
        user_agent="curl/8",
        occurred_at_quality="assumed_zone",
        **BONDS,
    )
    assert values(found) == SHOWN


def test_ways_on_from_an_entry_lead_to_it_too() -> None:
    """Around one of the log of the log there are entries of every category, itself among them."""
    for own in ({}, {"category": "audit", "action": "audit.viewed"}):
        found = entry(ip="192.0.2.1", **BONDS, **own)
        links = entry_view.around(found, 90)
        assert len(links) == 5
        assert {urlsplit(link.url).fragment for link in links} == {f"e-{found['entry_id']}"}
        for link in links:
            (text,) = parse_qs(urlsplit(link.url).query)["q"]
            others = [term for term in parse(text).terms if term.field != "created"]
            wanted = Query(tuple(others))
            assert matches(found, wanted), link.text
            assert matches(entry(ip="192.0.2.1", **BONDS), wanted), link.text


def test_every_value_of_an_entry_leads_to_it_again() -> None:
    """Where no search led to it: one for a value of it finds it, however old, and its own kind."""
    for own in ({}, {"category": "audit", "action": "audit.viewed"}):
        found = entry(ip="192.0.2.1", **BONDS, **own)
        links = [fact.only for fact in entry_view.facts(entry_view.among(found, 90), found)]
        assert len(list(filter(None, links))) == 10
        for link in filter(None, links):
            (text,) = parse_qs(urlsplit(link).query)["q"]
            asked = parse(text)
            assert "created:90d" in text.split()
            assert matches(found, asked.at(LAST_DAY)), text


def test_way_on_from_who_has_no_id_is_by_the_address() -> None:
    """A service knows some people by their e-mail address alone."""
    found = entry(actor={"type": "user", "email": "zoe@acme.example"})
    (link,) = entry_view.around(found, 90)
    (text,) = parse_qs(urlsplit(link.url).query)["q"]
    assert "actor:zoe@acme.example" in text.split()
