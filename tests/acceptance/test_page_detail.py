"""An entry opened below its row, where an investigation goes from there, and what comes in live."""

from datetime import timedelta

import pytest
from playwright.sync_api import Browser, Route, expect

from processor.demo.issuer import Person
from tests.acceptance.browser import Reader
from tests.acceptance.site import NOW, OLIVIA, Site, stored
from tests.integration.store import an_entry
from tests.integration.test_process import until

pytestmark = pytest.mark.timeout(120)

LENA = Person("usr_lena", "Lena Live", "lena@live.example", "live", "Owner")
HOSTILE = '"><img src=x onerror=alert(1)>'


def test_entry_opens_in_place_and_closes_again(reader: Reader) -> None:
    """A click opens an entry below its row, all of it; another one closes it; the page stays."""
    page = reader.page
    reader.open("/log?q=action:user.updated created:30d")
    link = page.locator(".rows [data-detail]")
    link.click()
    detail = page.locator(".rows .detail")
    expect(detail.locator("del")).to_have_text("member")
    expect(detail.locator(".raw")).to_contain_text('"action": "user.updated"')
    expect(link).to_have_attribute("aria-expanded", "true")
    link.click()
    expect(detail).to_have_count(0)
    assert page.url.endswith("created:30d")
    assert reader.complaints == []


def test_entry_that_is_clicked_twice_opens_once(reader: Reader) -> None:
    """The second click comes while the entry is still on its way."""
    page = reader.page
    reader.open("/log?q=action:user.updated created:30d")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/log/*-*", hold)
    link, detail = page.locator(".rows [data-detail]"), page.locator(".rows .detail")
    with page.expect_request("**/log/*-*"):
        link.click()
    link.click()
    expect(link).to_have_attribute("aria-expanded", "true")
    for route in held:
        route.continue_()
    expect(detail).to_have_count(1)
    expect(detail.locator("del")).to_have_text("member")


def test_values_of_an_entry_are_filtered_for_and_out(reader: Reader) -> None:
    """Plus narrows the search to a value, minus leaves it out, and a second minus that one too."""
    page = reader.page
    box = page.get_by_label("Query", exact=True)
    reader.open("/log?q=action:user.updated created:30d")
    page.locator(".rows [data-detail]").click()
    page.get_by_role("link", name="Only entries with Target ID usr_bea").click()
    expect(box).to_have_value("action:user.updated created:30d target:usr_bea")
    reader.open("/log?q=created:30d")
    page.locator(".rows [data-detail]").first.click()
    page.get_by_role("link", name="No entries with Actor ada@example.com").click()
    expect(box).to_have_value("created:30d -actor:ada@example.com")
    page.locator(".rows [data-detail]").first.click()
    page.get_by_role("link", name="No entries with Actor ID usr_adam").click()
    expect(box).to_have_value("created:30d -actor:ada@example.com,usr_adam")
    expect(page.locator(".rows")).not_to_contain_text("adam@")


def test_timeline_shows_what_the_actor_did_around_an_entry(reader: Reader) -> None:
    """From an entry one comes to everything of its actor within an hour, the entry marked."""
    page = reader.page
    reader.open("/log?q=action:user.updated created:30d")
    page.locator(".rows [data-detail]").click()
    page.get_by_role("link", name="What this actor did an hour before and after").click()
    expect(page.locator(".rows tr")).to_have_count(1)
    expect(page.locator("tr:target")).to_contain_text("user.updated")
    query = page.get_by_label("Query", exact=True).input_value()
    assert query.startswith("created:")
    assert query.endswith("Z actor:usr_adam")


def test_histogram_can_be_read_as_a_table(reader: Reader) -> None:
    """Who cannot see the bars hears from when to when there were how many entries."""
    page = reader.page
    reader.open("/log?q=action:product_access.revoked created:30d")
    rows = page.get_by_role("table", name="Entries over time").get_by_role("row")
    expect(rows).to_have_count(1 + 3)
    expect(rows.nth(1)).to_contain_text("Z")
    expect(rows.nth(1)).to_contain_text("1")


def test_new_entries_come_in_as_rows_and_none_is_missed_in_a_pause(
    browser: Browser, the_site: Site
) -> None:
    """What is stored while one follows appears at the top; after a pause, what came meanwhile."""
    context = browser.new_context()
    owner = Reader(context, the_site, LENA)
    page = owner.page
    owner.open("/log?q=created:24h")
    expect(page.get_by_role("heading", name="Nothing here yet")).to_be_visible()
    with page.expect_request("**/log/live?*"):
        page.get_by_role("button", name="Follow live").click()
    rows = page.locator(".rows tr")
    for number, name in enumerate(("one", HOSTILE)):
        target = {"type": "user", "id": f"usr_{number}", "name": name}
        entry = an_entry("live", name, at=NOW - timedelta(minutes=3 - number), target=target)
        stored(the_site.dsn, [entry])
        expect(rows).to_have_count(number + 1, timeout=10_000)
        expect(rows.first).to_contain_text(name)
    expect(page.locator(".live [role=status]")).to_have_text("2 new entries")
    page.get_by_role("button", name="Pause").click()
    stored(the_site.dsn, [an_entry("live", "three", at=NOW - timedelta(minutes=1))])
    page.get_by_role("button", name="Follow live").click()
    expect(rows).to_have_count(3, timeout=10_000)
    rows.first.locator("[data-detail]").click()
    expect(page.locator(".detail .raw")).to_contain_text('"three"')
    assert owner.complaints == []
    context.close()


def test_what_comes_is_shown_in_the_chosen_zone_until_following_ends(
    browser: Browser, the_site: Site
) -> None:
    """A new row has the zone of the others; a following that is refused does not seem to go on."""
    context = browser.new_context(timezone_id="Asia/Kolkata")
    page = Reader(context, the_site, LENA._replace(org_id="kolkata")).page
    page.goto(f"{the_site.url}/log?q=created:24h")
    page.get_by_role("button", name="UTC", exact=True).click()
    with page.expect_request("**/log/live?*"):
        page.get_by_role("button", name="Follow live").click()
    at = NOW - timedelta(minutes=3)
    stored(the_site.dsn, [an_entry("kolkata", "one", at=at)])
    shown = f"{at + timedelta(hours=5, minutes=30):%Y-%m-%d %H:%M:%S}.000"
    expect(page.locator(".rows td time")).to_have_text(shown, timeout=10_000)
    page.get_by_role("button", name="Pause").click()
    context.clear_cookies()
    page.get_by_label("Query", exact=True).fill("somebody is at work here")
    page.get_by_role("button", name="Follow live").click()
    expect(page.locator(".live [role=status]")).to_contain_text("reload the page")
    expect(page.get_by_role("button", name="Follow live")).to_have_attribute(
        "aria-pressed", "false"
    )
    context.close()


def test_each_time_is_shown_by_the_clock_of_its_own_season(
    browser: Browser, the_site: Site
) -> None:
    """Of winter and summer one has another offset than today's, and says which."""
    context = browser.new_context(timezone_id="Europe/Berlin")
    reader = Reader(context, the_site, OLIVIA)
    page = reader.page
    reader.open("/log?q=created:30d")
    times = page.locator(".rows td time")
    for number, month in enumerate(("01", "07")):
        times.nth(number).evaluate(f"time => time.dateTime = '2026-{month}-15T12:00:00.000Z'")
    page.get_by_role("button", name="UTC", exact=True).click()
    winter, summer = times.nth(0).inner_text(), times.nth(1).inner_text()
    assert winter.startswith("2026-01-15 13:00:00.000")
    assert summer.startswith("2026-07-15 14:00:00.000")
    assert [winter.endswith(" UTC+01:00"), summer.endswith(" UTC+02:00")].count(True) == 1
    context.close()


def test_following_goes_on_behind_what_did_not_match(browser: Browser, the_site: Site) -> None:
    """What was looked through in vain is not looked through again after a pause."""
    context = browser.new_context()
    page = Reader(context, the_site, LENA._replace(org_id="onward")).page
    page.goto(f"{the_site.url}/log?q=action:user.removed")
    stored(the_site.dsn, [an_entry("onward", f"e{number}") for number in range(3)])

    def followed_on_from() -> str:
        """Return what the page asks for when it follows for a moment."""
        with page.expect_response("**/log/live?*") as answered:
            page.get_by_role("button", name="Follow live").click()
        page.get_by_role("button", name="Pause").click()
        return answered.value.url

    assert "after=0" in followed_on_from()
    until(lambda: "after=3" in followed_on_from(), "the place has moved")
    context.close()


def test_row_that_is_shown_already_does_not_come_in_again(browser: Browser, the_site: Site) -> None:
    """What was stored while the page was being made is on it, and is sent once more."""
    context = browser.new_context()
    page = Reader(context, the_site, LENA._replace(org_id="twice")).page
    stored(the_site.dsn, [an_entry("twice", "one")])
    page.route(
        "**/log/live?*",
        lambda route: route.continue_(url=route.request.url.replace("after=1", "after=0")),
    )
    page.goto(f"{the_site.url}/log?q=created:30d")
    page.get_by_role("button", name="Follow live").click()
    stored(the_site.dsn, [an_entry("twice", "two")])
    expect(page.locator(".live [role=status]")).to_have_text("1 new entry", timeout=10_000)
    expect(page.locator(".rows tr")).to_have_count(2)
    context.close()


def test_period_that_is_over_is_not_followed(reader: Reader) -> None:
    """Nothing new can come into a search of the past; into one up to the end of today it can."""
    button = reader.page.get_by_role("button", name="Follow live")
    reader.open("/log?q=created:2026-01-01..2026-02-01")
    assert button.count() == 0
    reader.open(f"/log?q=created:2026-01-01..{NOW + timedelta(days=1):%Y-%m-%d}")
    expect(button).to_be_visible()


@pytest.mark.parametrize("width", [1280, 390])
def test_address_is_broken_before_its_sign_alone(
    browser: Browser, the_site: Site, width: int
) -> None:
    """What is before and behind it is each on one line, and nobody has to scroll sideways."""
    first, second = "fatima.jensen.maria.030@acme.example", "guest.jensen.a39318bf@acme.example"
    bulk = {"category": "permissions", "action": "permission.bulk_updated"}
    who = {"type": "user", "id": "usr_f", "email": first}
    behalf = {"id": "usr_b", "email": "beatriz.moreau.008@acme.example"}
    stored(
        the_site.dsn,
        [
            an_entry(
                "wide", "e1", at=NOW, actor=who, target={"type": "user", "email": second}, **bulk
            ),
            an_entry("wide", "e2", at=NOW, actor=who | {"on_behalf_of": behalf}),
        ],
    )
    context = browser.new_context(viewport={"width": width, "height": 800})
    page = Reader(context, the_site, LENA._replace(org_id="wide")).page
    page.goto(f"{the_site.url}/log?q=created:24h")
    lines = page.locator(".rows").evaluate(
        """rows => {
            const walk = document.createTreeWalker(rows, NodeFilter.SHOW_TEXT), found = [];
            while (walk.nextNode()) {
                const range = document.createRange();
                range.selectNodeContents(walk.currentNode);
                if (/acme\\.example|jensen|guest|moreau/.test(walk.currentNode.data))
                    found.push([walk.currentNode.data, range.getClientRects().length]);
            }
            return found;
        }"""
    )
    assert lines
    assert [line for line in lines if line[1] != 1] == []
    expect(page.locator(".rows")).to_contain_text(first)
    for part in ("document.documentElement", "document.querySelector('.scroll')"):
        assert page.evaluate(f"{part}.scrollWidth <= {part}.clientWidth")
    context.close()


def test_no_text_turns_the_page_around(reader: Reader) -> None:
    """Characters that are not seen, or reverse what follows, are shown as what they are."""
    page = reader.page
    reader.open("/log?q=action:permission.granted created:30d")
    page.locator(".rows [data-detail]").first.click()
    expect(page.locator(".detail .facts")).to_contain_text("Bea \ufffdabe")
    assert "\u202e" not in page.content()
