"""The SIEM section of the page in a real browser."""

import secrets
from collections.abc import Iterator

import psycopg
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from processor.demo.issuer import Person
from tests.acceptance.browser import Reader
from tests.acceptance.site import AUDREY, Site, stored
from tests.acceptance.test_subscriptions import Client, somebody
from tests.integration.store import an_entry

pytestmark = pytest.mark.timeout(120)

RULES = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]
SCHEMES = ["light", "dark"]


@pytest.fixture
def owner() -> Person:
    """Give an Owner of an organization of the test's own."""
    return somebody(f"org-{secrets.token_hex(4)}")


@pytest.fixture
def at_desk(browser: Browser, the_site: Site, owner: Person) -> Iterator[Reader]:
    """Give that Owner at a desk."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    yield Reader(context, the_site, owner)
    context.close()


def set_row(site: Site, org_id: str, change: str) -> None:
    """Have the row of a subscription as a forwarder would have made it."""
    with psycopg.connect(site.dsn, autocommit=True) as connection:
        change = f"UPDATE subscriptions SET {change} WHERE org_id = %s"  # noqa: S608 - from this file
        connection.execute(change, [org_id])


STATES = {
    "nothing yet": ("/siem", None),
    "the form": ("/siem/new", None),
    "list": ("/siem", "paused = false"),
    "active": ("/siem/hub", "forwarded_through = 0"),
    "failing": ("/siem/hub", "error = 'the topic does not exist', error_at = now()"),
    "paused": ("/siem/hub", "paused = true"),
    "replaying": (
        "/siem/hub",
        "replay_id = gen_random_uuid(), replay_after = 1, replay_through = 7, replayed_through = 3",
    ),
    "about to be deleted": ("/siem/hub/delete", "paused = false"),
}


@pytest.mark.parametrize("state", STATES)
def test_every_state_is_accessible(
    browser: Browser, the_site: Site, owner: Person, state: str
) -> None:
    """No state breaks a rule of WCAG 2.2 AA that a machine can check, in the light or the dark."""
    path, change = STATES[state]
    if change:
        with Client(the_site, owner.org_id) as client:
            assert client.post("/v1/subscriptions", json={"format": "hub"}).status_code == 201
        set_row(the_site, owner.org_id, change)
    for scheme in SCHEMES:
        context = browser.new_context(
            viewport={"width": 1280, "height": 800},
            color_scheme=scheme,  # type: ignore[arg-type]
        )
        reader = Reader(context, the_site, owner)
        assert reader.open(path) == 200
        found = Axe().run(reader.page, options={"runOnly": RULES})
        assert found.violations_count == 0, found.generate_report()
        assert reader.complaints == []
        context.close()


def test_narrow_page_does_not_scroll_sideways(
    browser: Browser, the_site: Site, owner: Person
) -> None:
    """On a telephone everything is within the screen's width."""
    with Client(the_site, owner.org_id) as client:
        assert client.post("/v1/subscriptions", json={"format": "hub"}).status_code == 201
    context = browser.new_context(viewport={"width": 360, "height": 740})
    reader = Reader(context, the_site, owner)
    for path in ("/siem", "/siem/new", "/siem/hub", "/siem/hub/delete"):
        reader.open(path)
        assert reader.page.evaluate("document.documentElement.scrollWidth") <= 360, path
    context.close()


def press_until(reader: Reader, name: str) -> None:
    """Press Tab until the button or link of a name has the focus, and press it."""
    page = reader.page
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement?.textContent?.trim()") == name:
            break
    else:
        raise AssertionError(f"the keyboard does not reach {name}")
    with page.expect_navigation():
        page.keyboard.press("Enter")


def test_keyboard_alone_subscribes_tests_pauses_resumes_and_deletes(at_desk: Reader) -> None:
    """Whoever has no mouse does all there is to do, and is told each time that it is done."""
    page = at_desk.page
    at_desk.open("/siem")
    expect(page.get_by_role("heading", name="Your audit log in your SIEM")).to_be_visible()
    press_until(at_desk, "Subscribe")
    page.get_by_label("Hub JSON").focus()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_label("OCSF 1.8")).to_be_checked()
    press_until(at_desk, "Subscribe")
    expect(page.get_by_role("status").first).to_contain_text("Subscribed")
    expect(page.get_by_role("heading", level=1)).to_contain_text("OCSF 1.8 active")
    for button, said in (
        ("Send a test event", "A test event is ordered (delivered when a forwarder runs)."),
        ("Pause", "Paused. The position is kept"),
        ("Resume", "Resumed."),
    ):
        press_until(at_desk, button)
        expect(page.get_by_role("status").first).to_contain_text(said)
    press_until(at_desk, "Delete…")
    press_until(at_desk, "Delete subscription and topic")
    expect(page.get_by_role("status")).to_contain_text("are deleted")
    expect(page.get_by_role("heading", name="Your audit log in your SIEM")).to_be_visible()
    assert at_desk.complaints == []


def test_form_keeps_what_was_chosen_and_says_what_is_wrong(at_desk: Reader) -> None:
    """A filter that nothing can pass is refused with the reason, and is still there to change."""
    page = at_desk.page
    at_desk.open("/siem/new")
    expect(page.locator(".kind").nth(1)).to_contain_text("OCSF 1.8")
    expect(page.get_by_label("What your SIEM will need")).to_contain_text("read_committed")
    page.get_by_label("ECS").check()
    page.get_by_text("Single actions").click()
    page.get_by_label("auth.logout").check()
    page.get_by_label("Severity").select_option("5 and above")
    page.get_by_role("button", name="Subscribe").click()
    expect(page.get_by_role("alert")).to_contain_text("no entry can pass this filter")
    expect(page.get_by_label("ECS")).to_be_checked()
    expect(page.get_by_label("auth.logout")).to_be_checked()
    page.get_by_label("Severity").select_option("Any")
    page.get_by_role("button", name="Subscribe").click()
    expect(page.get_by_role("status").first).to_contain_text("no entry of the last 90 days")


def test_page_works_without_scripts(browser: Browser, the_site: Site, owner: Person) -> None:
    """Everything is a form or a link."""
    context = browser.new_context(java_script_enabled=False)
    reader = Reader(context, the_site, owner)
    page = reader.page
    reader.open("/siem/new")
    page.get_by_label("Hub JSON").check()
    page.get_by_role("button", name="Subscribe").click()
    expect(page.get_by_label("ACL commands")).to_contain_text(
        f"--group siem.{owner.org_id} --resource-pattern-type literal"
    )
    page.get_by_role("button", name="Replay").click()
    expect(page.get_by_role("alert")).to_contain_text(
        "one of the two: After entry, or recorded since"
    )
    page.get_by_label("After entry").fill("0")
    page.get_by_role("button", name="Replay").click()
    expect(page.get_by_role("alert")).to_contain_text("nothing after 0 has been delivered")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("paused")
    stored(the_site.dsn, [an_entry(owner.org_id, "one")])
    page.get_by_role("link", name="Delete…").click()
    expect(page.locator("main")).to_contain_text("the 1 waiting entry will not be delivered")
    context.close()


def test_auditor_has_no_siem_section(browser: Browser, the_site: Site) -> None:
    """Who may read the log and no more is not shown the way, and is refused at its end."""
    context = browser.new_context()
    reader = Reader(context, the_site, AUDREY)
    reader.open("/log")
    expect(reader.page.get_by_label("Sections")).not_to_contain_text("SIEM")
    assert reader.open("/siem") == 403
    expect(reader.page.locator("main")).to_contain_text("audit.subscribe")
    context.close()
