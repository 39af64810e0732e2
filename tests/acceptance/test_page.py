"""The audit log page in a real browser."""

import csv
import io
import re
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from tests.acceptance.browser import Reader
from tests.acceptance.site import ADAM, AUDREY, GRETA, GUS, MIA, OLIVIA, Site

pytestmark = pytest.mark.timeout(120)


REVOKED = "action:product_access.revoked actor:adam@acme.example created:30d"

STATES = {
    "the log": ("/log", OLIVIA, 200),
    "filtered": (f"/log?q={REVOKED}", OLIVIA, 200),
    "no match": ("/log?q=actor:nobody created:30d", OLIVIA, 200),
    "nothing yet": ("/log?q=created:1h", GUS, 200),
    "syntax error": ("/log?q=action:user.craeted", OLIVIA, 400),
    "not permitted": ("/log", MIA, 403),
    "no such entry": ("/log/01a207d9-217b-828a-a137-81caa759c1be", OLIVIA, 404),
    "no such page": ("/nowhere", OLIVIA, 404),
    "beyond retention": ("/log?q=created:2020-01-01..", OLIVIA, 200),
    "tokens": ("/tokens", OLIVIA, 200),
    "tokens, not permitted": ("/tokens", AUDREY, 403),
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", STATES)
def test_every_state_is_accessible(
    browser: Browser, the_site: Site, state: str, scheme: str
) -> None:
    """No state of the page breaks a rule of WCAG 2.2 AA that a machine can check."""
    path, person, status = STATES[state]
    context = browser.new_context(
        viewport={"width": 1280, "height": 800},
        color_scheme=scheme,  # type: ignore[arg-type]
    )
    reader = Reader(context, the_site, person)
    assert reader.open(path) == status
    found = Axe().run(
        reader.page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]}
    )
    assert found.violations_count == 0, found.generate_report()
    if status == 200:
        assert reader.complaints == []
    context.close()


def test_product_pages_example_is_found_and_exported(reader: Reader) -> None:
    """All product_access.revoked by one admin in the last 30 days, by the form, then as CSV."""
    page = reader.page
    reader.open("/log?q=created:30d")
    page.get_by_text("Filters", exact=True).click()
    page.get_by_label("Action", exact=True).select_option("product_access.revoked")
    page.get_by_label("Actor", exact=True).fill(ADAM.email)
    page.get_by_role("button", name="Search").click()
    rows = page.locator(".rows tr")
    expect(rows).to_have_count(3)
    expect(page.locator("figcaption")).to_contain_text("3 entries")
    for row in rows.all():
        expect(row).to_contain_text("product_access.revoked")
        expect(row).to_contain_text(ADAM.email)
        expect(row).to_contain_text("CRM")
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Export CSV").click()
    text = Path(downloading.value.path()).read_bytes().decode()
    lines = list(csv.reader(io.StringIO(text, newline="")))
    assert lines[0] == [
        "timestamp", "actor email", "action", "target type", "target ID", "IP address",
    ]  # fmt: skip
    assert [line[1:5] for line in lines[1:]] == [
        [ADAM.email, "product_access.revoked", "product", "prd_crm"]
    ] * 3


def test_searching_again_keeps_what_is_in_no_list(reader: Reader) -> None:
    """A condition on all actions of a kind stays when the form is sent again."""
    page = reader.page
    query = page.get_by_label("Query", exact=True)
    reader.open('/log?q=action:product_access.* text:" x" created:30d')
    page.get_by_role("button", name="Search").click()
    page.wait_for_url("**/log?q=*")
    expect(query).to_have_value('action:product_access.* " x" created:30d')
    page.get_by_label("Action", exact=True).select_option("Any")
    page.get_by_role("button", name="Search").click()
    expect(query).to_have_value('" x" created:30d')


def test_entry_shows_what_changed_and_takes_back_to_the_search(reader: Reader) -> None:
    """An entry shows old and new side by side, all fields and the JSON; back keeps the filter."""
    page = reader.page
    reader.open("/log?q=action:user.updated created:30d")
    with page.context.expect_page() as opening:
        page.locator(".rows tr a").first.click(modifiers=["ControlOrMeta"])
    page = opening.value
    expect(page.get_by_role("heading", level=1)).to_contain_text("User updated")
    changes = page.locator(".diff tbody tr")
    expect(changes).to_have_count(2)
    expect(changes.nth(0)).to_contain_text("role")
    expect(changes.nth(0).locator("del")).to_have_text("member")
    expect(changes.nth(0).locator("ins")).to_have_text("admin")
    expect(changes.nth(1)).to_contain_text("not set")
    expect(page.locator(".raw")).to_contain_text('"action": "user.updated"')
    page.get_by_role("link", name="Back to the log").click()
    expect(page.get_by_label("Query", exact=True)).to_have_value("action:user.updated created:30d")


def test_facets_histogram_and_chips_narrow_and_widen(reader: Reader) -> None:
    """A facet takes a value in, its sign leaves it out, a bar narrows the time, a chip undoes."""
    page = reader.page
    reader.open("/log?q=created:30d")
    page.get_by_role("complementary").get_by_role("link", name="Product Access").first.click()
    expect(page.locator(".rows tr")).to_have_count(3)
    page.locator(".chart a").first.click()
    expect(page.locator(".rows tr")).to_have_count(1)
    page.get_by_role("link", name="Remove category:product_access").click()
    expect(page.locator(".chips li")).to_have_count(1)
    reader.open("/log?q=created:30d")
    page.get_by_role("link", name="Leave out success").click()
    expect(page.get_by_label("Query", exact=True)).to_have_value("created:30d -outcome:success")
    for row in page.locator(".rows tr").all():
        expect(row).to_contain_text("failed")


def test_syntax_error_shows_the_place(reader: Reader) -> None:
    """A query that cannot be understood stays in the box, with a caret below what is wrong."""
    assert reader.open("/log?q=ada action:user.craeted") == 400
    page = reader.page
    expect(page.get_by_label("Query", exact=True)).to_have_value("ada action:user.craeted")
    expect(page.get_by_role("alert").locator("pre")).to_have_text(
        "ada action:user.craeted\n           ^"
    )
    expect(page.get_by_role("alert")).to_contain_text("did you mean user.created?")


def test_no_match_says_which_condition_empties_it(reader: Reader) -> None:
    """Where nothing matches, the page offers the search without the condition that is to blame."""
    reader.open("/log?q=action:product_access.revoked actor:nobody created:30d")
    page = reader.page
    expect(page.get_by_role("heading", name="Nothing matches")).to_be_visible()
    page.get_by_role("link", name="search without actor:nobody").click()
    expect(page.locator(".rows tr")).to_have_count(3)


def test_member_is_told_who_can_let_them_in(browser: Browser, the_site: Site) -> None:
    """Somebody without the permission sees no entry, but whom to ask."""
    for person in (MIA, GRETA):
        context = browser.new_context()
        reader = Reader(context, the_site, person)
        assert reader.open("/log") == 403
        page = reader.page
        expect(page.locator("main")).to_contain_text("audit.view")
        expect(page.locator("main")).to_contain_text(f"{person.org_id} is for people with")
        expect(page.locator("main")).to_contain_text("Owners and Admins")
        assert page.locator("table").count() == 0
        context.close()


def test_organization_sees_its_own_entries_alone(browser: Browser, the_site: Site) -> None:
    """The same address shows another organization only what is its own."""
    context = browser.new_context()
    reader = Reader(context, the_site, GUS)
    reader.open("/log?q=created:90d")
    expect(reader.page.locator(".rows tr")).to_have_count(5)
    context.close()


def test_login_and_logout_by_the_issuer(browser: Browser, the_site: Site) -> None:
    """Whoever is not logged in goes by the issuer to where they wanted to be, and leaves."""
    context = browser.new_context()
    reader = Reader(context, the_site, None)
    page = reader.page
    page.goto(f"{the_site.url}/log?q=outcome:failure+created:30d")
    page.get_by_role("link", name="Olivia Owner").click()
    expect(page.get_by_label("Query", exact=True)).to_have_value("outcome:failure created:30d")
    (session,) = [c for c in context.cookies() if c["name"] == "hub_audit_session"]
    assert session["httpOnly"]
    assert session["sameSite"] == "Lax"
    page.get_by_role("button", name="Log out").click()
    page.wait_for_load_state()
    assert not [c for c in context.cookies() if c["name"] == "hub_audit_session"]
    context.close()


def test_everything_works_without_scripts(browser: Browser, the_site: Site) -> None:
    """With scripts switched off one can filter, page on, look at an entry and export."""
    context = browser.new_context(java_script_enabled=False)
    reader = Reader(context, the_site, OLIVIA)
    page = reader.page
    reader.open("/log?q=created:90d")
    expect(page.locator(".rows tr")).to_have_count(50)
    page.get_by_role("link", name="Older »").click()
    expect(page.locator(".rows tr").first).to_be_visible()
    page.get_by_label("Query", exact=True).fill(REVOKED)
    page.get_by_label("Query", exact=True).press("Enter")
    expect(page.locator(".rows tr")).to_have_count(3)
    page.locator(".rows tr a").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Product access revoked")
    context.close()


def test_everything_works_by_keyboard(reader: Reader) -> None:
    """From the top of the page, by Tab and Enter alone, one searches and opens an entry."""
    page = reader.page
    reader.open("/log?q=created:30d")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "q":
            break
    page.keyboard.press("Control+a")
    page.keyboard.type("action:user.updated created:30d")
    page.keyboard.press("Enter")
    expect(page.locator(".rows tr")).to_have_count(1)
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('.rows') !== null"):
            break
    page.keyboard.press("Enter")
    expect(page.locator(".detail .diff")).to_contain_text("member")
    expect(page.locator("[data-detail]")).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("Enter")
    expect(page.locator(".detail")).to_have_count(0)


def test_owner_exports_who_granted_what_by_keyboard_alone(reader: Reader) -> None:
    """Who granted what to whom last month: typed, looked at, and taken along without a mouse."""
    page = reader.page
    reader.open("/log")

    def tab_to(what: str) -> None:
        for _ in range(120):
            page.keyboard.press("Tab")
            if page.evaluate(f"document.activeElement.matches({what!r})"):
                return
        pytest.fail(f"{what} is not reached by Tab")

    tab_to("#q")
    page.keyboard.press("Control+a")
    page.keyboard.type("action:permission.granted created:30d")
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    expect(page.locator(".rows tr")).to_have_count(2)
    tab_to("a[href*='.csv']")
    with page.expect_download() as downloading:
        page.keyboard.press("Enter")
    lines = Path(downloading.value.path()).read_text().splitlines()
    assert len(lines) == 1 + 2
    assert all(f"{ADAM.email},permission.granted,user,usr_" in line for line in lines[1:])
    tab_to(".rows [data-detail]")
    page.keyboard.press("Enter")
    expect(page.locator(".detail .diff")).to_contain_text("billing.view")


def test_query_box_completes_what_is_typed(reader: Reader) -> None:
    """Suggestions come as one types, are chosen by arrow and Enter, and nothing is sent by that."""
    page = reader.page
    reader.open("/log?q=created:30d")
    box = page.get_by_label("Query", exact=True)
    box.fill("")
    box.press_sequentially("action:product_access.r")
    option = page.locator("#q-options").get_by_role("option")
    expect(option).to_have_count(1)
    box.press("ArrowDown")
    expect(option).to_have_attribute("aria-selected", "true")
    box.press("Enter")
    expect(box).to_have_value("action:product_access.revoked")
    expect(page.get_by_role("listbox")).to_be_hidden()
    assert "created" in page.url


def test_query_box_offers_nothing_that_undoes_what_is_typed(reader: Reader) -> None:
    """While an answer is on its way, what was offered for less is gone, and Enter sends."""
    page = reader.page
    reader.open("/log?q=created:30d")
    box = page.get_by_label("Query", exact=True)
    box.fill("")
    option = page.locator("#q-options").get_by_role("option")
    box.press_sequentially("acti")
    expect(option).to_have_count(1)
    page.route("**/v1/suggest*", lambda _: None)  # on its way for ever
    box.press("ArrowDown")
    expect(box).to_have_attribute("aria-activedescendant", "q-option-0")
    box.press_sequentially("o")
    expect(option).to_have_count(1)  # still goes on from what is typed
    expect(box).not_to_have_attribute("aria-activedescendant", "q-option-0")
    box.press_sequentially("n:user.created")
    expect(option).to_have_count(0)
    box.press("ArrowDown")
    box.press("Enter")
    expect(page).to_have_url(re.compile("user.created"))


def test_view_is_kept_for_oneself_or_for_everybody(browser: Browser, the_site: Site) -> None:
    """A view has a name and leads back to its query; colleagues see it only where it is shared."""
    for shared in (False, True):
        context, colleague = browser.new_context(), browser.new_context()
        reader, other = Reader(context, the_site, OLIVIA), Reader(colleague, the_site, ADAM)
        name = "Failed logins of all" if shared else "My failed logins"
        reader.open("/log?q=action:auth.login_failed created:30d")
        page = reader.page
        page.get_by_text("Saved views").click()
        page.get_by_label("Name", exact=True).fill(name)
        if shared:
            page.get_by_label("for everybody in acme").check()
        page.get_by_role("button", name="Save", exact=True).click()
        reader.open("/log")
        page.get_by_role("link", name=name).click()
        expect(page.get_by_label("Query", exact=True)).to_have_value(
            "action:auth.login_failed created:30d"
        )
        other.open("/log")
        assert other.page.get_by_role("link", name=name).count() == int(shared)
        page.get_by_role("button", name=f"Delete {name}").click()
        expect(page.get_by_role("link", name=name)).to_have_count(0)
        context.close()
        colleague.close()


def test_times_are_shown_in_the_readers_zone_on_demand(browser: Browser, the_site: Site) -> None:
    """The zone is always in sight; the machine-readable times stay UTC."""
    context = browser.new_context(timezone_id="Asia/Kolkata")
    reader = Reader(context, the_site, OLIVIA)
    page = reader.page
    reader.open("/log?q=created:30d")
    first = page.locator("td time").first
    before, instant = first.inner_text(), first.get_attribute("datetime")
    page.get_by_role("button", name="UTC").click()
    expect(page.get_by_role("button", name="UTC+05:30")).to_be_visible()
    assert first.inner_text() != before
    assert first.get_attribute("datetime") == instant
    context.close()


def test_nothing_is_wider_than_a_narrow_screen(browser: Browser, the_site: Site) -> None:
    """On a phone nobody has to scroll sideways, whatever the page shows."""
    context = browser.new_context(viewport={"width": 360, "height": 740})
    reader = Reader(context, the_site, OLIVIA)
    for path, *_ in STATES.values():
        reader.open(path)
        width = reader.page.evaluate("document.documentElement.scrollWidth")
        assert width <= 360, path
    context.close()
