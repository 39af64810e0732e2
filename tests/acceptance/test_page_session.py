"""What a browser does when the session has ended: links, forms, and pages that are left open."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.acceptance.browser import Reader
from tests.acceptance.site import OLIVIA, Site

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
