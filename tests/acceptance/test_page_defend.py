"""Defend's dashboard in a real browser."""

import re
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from tests.acceptance.attacks import ABROAD
from tests.acceptance.browser import Reader
from tests.acceptance.site import AUDREY, GUS, MIA, OLIVIA, Site

pytestmark = pytest.mark.timeout(120)

BRUTE_FORCE = "the brute force"
STATES = {
    "findings": ("/defend?status=all", OLIVIA, 200),
    "narrowed": ("/defend?status=all&rule=password_spray&period=30d", OLIVIA, 200),
    "no match": ("/defend?severity=low", OLIVIA, 200),
    "nothing found": ("/defend", GUS, 200),
    "one finding": (BRUTE_FORCE, OLIVIA, 200),
    "one finding, may not acknowledge": (BRUTE_FORCE, AUDREY, 200),
    "no such finding": ("/defend/01a207d9-217b-828a-a137-81caa759c1be", OLIVIA, 404),
    "another organization's": (BRUTE_FORCE, GUS, 404),
    "no such choice": ("/defend?severity=worst", OLIVIA, 400),
    "not permitted": ("/defend", MIA, 403),
}


@pytest.fixture
def reader(browser: Browser, attacked: Site) -> Iterator[Reader]:
    """Give an Owner at a desk, whose organization was attacked."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    yield Reader(context, attacked, OLIVIA)
    context.close()


@pytest.fixture(scope="module")
def brute_force(browser: Browser, attacked: Site) -> str:
    """Give the address of the page of the brute-force attack."""
    context = browser.new_context()
    reader = Reader(context, attacked, OLIVIA)
    reader.open("/defend?status=all&rule=brute_force")
    address = reader.page.locator(".findings h2 a").first.get_attribute("href")
    context.close()
    assert address is not None
    return address


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", STATES)
def test_every_state_is_accessible(
    browser: Browser, attacked: Site, brute_force: str, state: str, scheme: str
) -> None:
    """No state of the dashboard breaks a rule of WCAG 2.2 AA that a machine can check."""
    path, person, status = STATES[state]
    context = browser.new_context(
        viewport={"width": 1280, "height": 800},
        color_scheme=scheme,  # type: ignore[arg-type]
    )
    reader = Reader(context, attacked, person)
    assert reader.open(brute_force if path == BRUTE_FORCE else path) == status
    checked = Axe().run(
        reader.page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]}
    )
    assert checked.violations_count == 0, checked.generate_report()
    if status == 200:
        assert reader.complaints == []
    context.close()


@pytest.mark.parametrize("width", [360, 1280])
def test_no_page_is_wider_than_the_screen(
    browser: Browser, attacked: Site, brute_force: str, width: int
) -> None:
    """Nothing has to be scrolled sideways but tables within their own frame."""
    context = browser.new_context(viewport={"width": width, "height": 800})
    reader = Reader(context, attacked, OLIVIA)
    for path in ("/defend?status=all", brute_force):
        reader.open(path)
        assert reader.page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()


def test_attack_leads_to_its_entries_in_the_log(reader: Reader) -> None:
    """From the dashboard to the finding, its evidence, and the same entries in the audit log."""
    page = reader.page
    reader.open("/defend?status=all")
    page.get_by_role("link", name="Brute force", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("critical Brute force")
    expect(page.locator(".rows tr").first).to_contain_text("Login succeeded")
    page.get_by_role("link", name="Show all 41 entries in the audit log").click()
    expect(page.locator("figcaption")).to_contain_text("41 entries")
    for row in page.locator(".rows tr").all():
        expect(row).to_contain_text(ABROAD)
    page.go_back()
    page.get_by_role("link", name=ABROAD).click()
    expect(page.get_by_label("Query", exact=True)).to_have_value(re.compile(f"ip:{ABROAD}"))


def test_endpoint_report_stands_beside_the_entries(reader: Reader) -> None:
    """A correlated finding shows the host and process that the endpoint reported."""
    reader.open("/defend?status=all&rule=endpoint_alert")
    reader.page.get_by_role("link", name="Endpoint alert and privileged act").click()
    table = reader.page.get_by_role("region", name="Endpoint reports")
    expect(table).to_contain_text("EVE-LAPTOP")
    expect(table).to_contain_text("lsass-dump.exe")


def test_filters_tiles_and_bars_narrow_and_widen(reader: Reader) -> None:
    """A tile shows one severity, a bar one stretch of time; both can be undone."""
    page = reader.page
    reader.open("/defend?status=all")
    expect(page.locator(".findings li")).to_have_count(5)
    page.get_by_role("list", name="Open findings by severity").get_by_role(
        "link", name="medium"
    ).click()
    expect(page.locator(".findings li")).to_have_count(1)
    page.get_by_role("link", name="Show all").click()
    expect(page.locator(".findings li")).to_have_count(5)
    page.locator(".timeline a").last.click()
    expect(page.locator(".findings li")).to_have_count(1)
    expect(page.locator(".findings li")).to_contain_text("Brute force")


@pytest.mark.parametrize("scripted", [True, False])
def test_acknowledging_takes_it_from_the_open_ones(
    browser: Browser, attacked: Site, scripted: bool
) -> None:
    """An Owner takes note by a form, with or without scripts; the page says who and when."""
    label = "Privilege-grant burst" if scripted else "Password spray"
    context = browser.new_context(java_script_enabled=scripted)
    reader = Reader(context, attacked, OLIVIA)
    page = reader.page
    reader.open("/defend")
    page.get_by_role("link", name=label, exact=True).click()
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_text(re.compile("Acknowledged by olivia"))).to_be_visible()
    reader.open("/defend")
    expect(page.get_by_role("link", name=label, exact=True)).to_have_count(0)
    reader.open("/defend?status=acknowledged")
    expect(page.get_by_role("link", name=label, exact=True)).to_have_count(1)
    context.close()


def test_dashboard_left_open_leads_to_the_login(browser: Browser, attacked: Site) -> None:
    """When the session has ended, it shows no counts of before, and one login is begun."""
    context = browser.new_context()
    reader = Reader(context, attacked, OLIVIA)
    reader.open("/defend")
    context.clear_cookies()
    expect(reader.page.get_by_role("link", name="Olivia Owner")).to_be_visible(timeout=10_000)
    logins = [each for each in context.cookies() if each["name"].startswith("hub_audit_login")]
    assert len(logins) == 1
    context.close()
