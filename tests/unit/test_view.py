"""Entries as the page shows them."""

from processor.api import html, view
from processor.query import parse
from schemas.query import Query
from tests.unit.canonical_entry import entry

SUPPORT = {
    "type": "support",
    "id": "sup-7",
    "on_behalf_of": {"id": "usr_9", "email": "bea@acme.example"},
}


def test_on_whose_behalf_somebody_acted_is_shown() -> None:
    """The row says for whom; the entry's fields do, and lead to all that was done for them."""
    found = entry(actor=SUPPORT)
    text = html.fragment("row.html", row=view.row(Query(), found))
    assert "<td>sup-7<small>for bea@acme.example</small></td>" in text
    facts = {fact.name: fact for fact in view.facts(Query(), found)}
    for name, value in (("On behalf of", "bea@acme.example"), ("On behalf of ID", "usr_9")):
        assert facts[name].value == value
        assert facts[name].only == view.log_url(parse(f"actor:{value}"))


def test_address_that_is_none_is_said_to_be_as_sent() -> None:
    """It is shown, under a name of its own, and leads nowhere."""
    facts = {fact.name: fact for fact in view.facts(Query(), entry(ip_raw="unknown, 10.0.0.1"))}
    assert "IP address" not in facts
    assert facts["IP address as sent"] == ("IP address as sent", "unknown, 10.0.0.1", None, None)
