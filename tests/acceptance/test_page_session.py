"""What a browser does when the session has ended: links, forms, and pages that are left open."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from processor.demo import issuer
from tests.acceptance.browser import Reader
from tests.acceptance.site import NOW, OLIVIA, Site, stored
from tests.integration.store import an_entry

pytestmark = pytest.mark.timeout(120)

REVOKED = "action:product_access.revoked created:30d"


def test_export_after_the_session_has_ended_leads_by_the_login(
    browser: Browser, the_site: Site
) -> None:
    """A click on an export when the token has run out is no broken file: the login comes first."""
    context = browser.new_context(accept_downloads=True)
    reader = Reader(context, the_site, OLIVIA)
    page = reader.page
    reader.open("/log?q=action:user.updated created:30d")
    context.clear_cookies()
    page.get_by_role("link", name="Export CSV").click()
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Olivia Owner").click()
    assert Path(downloading.value.path()).read_bytes().count(b"user.updated") == 1
    context.close()


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_search_after_the_session_has_ended_leads_by_the_login(
    browser: Browser, the_site: Site, *, scripts: bool
) -> None:
    """A form that asks for something comes to the issuer, too, and from there to what it asked."""
    context = browser.new_context(java_script_enabled=scripts)
    reader = Reader(context, the_site, OLIVIA)
    page = reader.page
    reader.open("/log?q=created:30d")
    query = page.get_by_label("Query", exact=True)
    query.fill(REVOKED)
    context.clear_cookies()
    page.get_by_role("button", name="Search").click()
    page.get_by_role("link", name="Olivia Owner").click()
    expect(query).to_have_value(REVOKED)
    expect(page.locator(".rows tr")).to_have_count(3)
    context.close()


def test_form_that_changes_something_says_that_it_did_not(browser: Browser, the_site: Site) -> None:
    """It is not sent again behind the login: who logs in comes back to the page of the form."""
    context = browser.new_context()
    reader = Reader(context, the_site, OLIVIA)
    page = reader.page
    reader.open("/siem/new")
    context.clear_cookies()
    page.get_by_role("button", name="Subscribe").click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing was changed")
    page.get_by_role("link", name="Log in").click()
    page.get_by_role("link", name="Olivia Owner").click()
    expect(page).to_have_url(f"{the_site.url}/siem/new")
    reader.open("/siem")
    expect(page.get_by_role("heading", name="Your audit log in your SIEM")).to_be_visible()
    context.close()


def test_page_left_open_keeps_what_was_filled_in(browser: Browser, the_site: Site) -> None:
    """It says that it gets old, and goes on by itself after a login in another tab."""
    context = browser.new_context()
    reader = Reader(context, the_site, OLIVIA)
    page = reader.page
    reader.open("/defend")
    rule = page.get_by_label("Rule", exact=True)
    rule.select_option("brute_force")
    page.get_by_role("heading", level=1).click()
    context.clear_cookies()
    note = page.get_by_role("status").filter(has_text="Your session has ended")
    expect(note).to_be_visible(timeout=10_000)
    expect(rule).to_have_value("brute_force")
    with context.expect_page() as opening:
        note.get_by_role("link", name="log in").click()
    opening.value.get_by_role("link", name="Olivia Owner").click()
    expect(note).to_have_count(0, timeout=10_000)
    expect(rule).to_have_value("brute_force")
    context.close()


def test_following_goes_on_behind_the_session(
    browser: Browser, the_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who follows the log does so for longer than a token is taken, without a click."""
    monkeypatch.setattr(issuer, "TOKEN_SECONDS", 5)
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{the_site.url}/log?q=category:audit+created:1h")
    page.get_by_role("link", name="Olivia Owner").click()
    with page.expect_request("**/log/live?*"):
        page.get_by_role("button", name="Follow live").click()
    for _ in range(2):  # two tokens long
        page.wait_for_event("request", lambda asked: "/callback?" in asked.url, timeout=20_000)
    pause = page.get_by_role("button", name="Pause")
    expect(pause).to_have_attribute("aria-pressed", "true")
    own = an_entry("acme", "own", at=NOW, category="audit", action="audit.exported")
    stored(the_site.dsn, [own])
    expect(page.locator(f"#e-{own['entry_id']}")).to_be_visible(timeout=20_000)
    context.close()


def test_following_waits_for_who_is_at_work(browser: Browser, the_site: Site) -> None:
    """What is typed meanwhile stays, and following goes on by itself after a login beside it."""
    context = browser.new_context()
    page = Reader(context, the_site, OLIVIA).page
    page.goto(f"{the_site.url}/log?q=created:30d")
    query = page.get_by_label("Query", exact=True)
    query.fill(REVOKED)
    context.clear_cookies()
    page.get_by_role("button", name="Follow live").click()
    expect(page.locator(".live [role=status]")).to_contain_text("Following has stopped")
    beside = context.new_page()
    beside.goto(f"{the_site.url}/login")
    beside.get_by_role("link", name="Olivia Owner").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible(timeout=20_000)
    expect(query).to_have_value(REVOKED)
    context.close()
