"""The page as it looks elsewhere than on a usual screen: another zone, paper, other colours."""

import re

import psycopg
import pytest
from playwright.sync_api import Browser, expect

from tests.acceptance.browser import Reader
from tests.acceptance.site import OLIVIA, Site
from tests.integration.test_process import until

pytestmark = pytest.mark.timeout(120)

RAW = ("identity", "billing", "permission", "audit", "redrive")


def test_zone_is_kept_and_reaches_every_time(browser: Browser, the_site: Site) -> None:
    """Whoever chose a zone has it on the next page, over and below the table as well as in it."""
    context = browser.new_context(timezone_id="Asia/Kolkata")
    reader = Reader(context, the_site, OLIVIA)
    page = reader.page
    with psycopg.connect(the_site.dsn, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO source_offsets (topic, partition, first_offset, stored_through,"
            " caught_up_at) SELECT %s || unnest(%s::text[]), 0, 0, 0, now()",
            [the_site.prefix, [f"raw.{each}" for each in RAW]],
        )
    complete = page.locator(".complete time")
    until(
        lambda: reader.open("/log?q=created:30d") == 200 and complete.count() > 0, "it is complete"
    )
    expect(complete).to_have_text(re.compile(r"^\S+ [\d:]+Z$"))
    page.get_by_role("button", name="UTC").click()
    reader.open("/log?q=action:user.updated created:30d")
    zone = re.compile(r"^\d{4}-\d\d-\d\d [\d:.]+ UTC\+05:30$")
    expect(page.get_by_role("button", name="UTC+05:30")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("th .zone")).to_have_text("UTC+05:30")
    expect(complete).to_have_text(zone)
    for time in page.locator("figcaption time, .chart td time").all():
        expect(time).to_have_text(zone)
    expect(page.locator(".chart title").first).to_have_text(
        re.compile(r"^1 entr\w+ from .* UTC\+05:30 to .* UTC\+05:30$")
    )
    page.locator(".rows [data-detail]").click()
    happened = page.locator(".detail .facts time").first
    expect(happened).to_have_text(zone)
    expect(page.locator(".rows > tr > td time").first).to_have_text(
        str(happened.text_content()).removesuffix(" UTC+05:30")
    )
    expect(page.locator(".detail .raw")).to_contain_text('.000Z"')
    reader.open(str(page.locator("[data-detail]").get_attribute("href")))
    expect(page.locator(".complete time")).to_have_text(zone)
    reader.open("/log")
    page.get_by_role("button", name="UTC+05:30").click()
    expect(complete).to_have_text(re.compile(r"^\S+ [\d:]+Z$"))
    assert reader.complaints == []
    context.close()


def test_print_has_what_is_to_be_read_alone(reader: Reader) -> None:
    """Nothing on paper that one would click on, and the whole JSON of an entry."""
    page = reader.page
    page.emulate_media(media="print")
    to_click = "nav a, button, .button, input, select, .facets a, .chips a, .facts dd a"
    for path in ("/log?q=action:user.updated created:30d", "/defend", "/siem", "/tokens"):
        reader.open(path)
        assert page.locator(to_click).locator("visible=true").count() == 0, path
    reader.open("/log?q=action:user.updated created:30d")
    expect(page.locator(".chips code").first).to_be_visible()
    reader.open(str(page.locator(".rows [data-detail]").get_attribute("href")))
    assert page.locator(to_click).locator("visible=true").count() == 0
    cut = "each => [each.scrollHeight > each.clientHeight, each.scrollWidth > each.clientWidth]"
    assert page.locator(".raw").evaluate(cut) == [False, False]


def test_current_section_is_told_apart_in_the_systems_colours(
    browser: Browser, the_site: Site
) -> None:
    """With high contrast, too, one section and one period look unlike the others."""
    context = browser.new_context(forced_colors="active")
    reader = Reader(context, the_site, OLIVIA)
    reader.open("/log?q=created:7d")
    look = """links => links.map(link => {
        const {borderBottomColor, outlineStyle} = getComputedStyle(link);
        return [borderBottomColor, outlineStyle, link.hasAttribute("aria-current")].join();
    })"""
    for links in (".top nav a", ".presets a"):
        looks = [each.rpartition(",") for each in reader.page.locator(links).evaluate_all(look)]
        (current,) = {look for look, _, is_current in looks if is_current == "true"}
        assert current not in {look for look, _, is_current in looks if is_current == "false"}
    context.close()
