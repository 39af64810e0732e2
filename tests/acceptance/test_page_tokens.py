"""Service tokens on the page: made, shown once, rotated, revoked; by Owners and Admins alone."""

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.acceptance.browser import Reader
from tests.acceptance.site import AUDREY, OLIVIA, Site

pytestmark = pytest.mark.timeout(120)


def feed(the_site: Site, token: str) -> int:
    """Return the status of the feed, asked for with a token."""
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.get(f"{the_site.url}/v1/feed", headers=headers).status_code


def test_token_is_made_shown_once_rotated_and_revoked(reader: Reader, the_site: Site) -> None:
    """An Owner makes a token for a program, replaces it, ends it: and so it is at the feed."""
    page = reader.page
    reader.open("/log")
    page.get_by_role("link", name="Service tokens").click()
    page.get_by_label("What is it for?").fill("nightly <b>pull</b>")
    page.get_by_role("button", name="Make a token").click()
    first = page.locator("#secret").inner_text()
    assert feed(the_site, first) == 200
    reader.open("/tokens")
    expect(page.locator("#secret")).to_have_count(0)
    assert first not in page.content()
    row = page.locator("tbody tr", has_text="nightly <b>pull</b>")
    row.get_by_role("button", name="Rotate").click()
    second = page.locator("#secret").inner_text()
    assert [feed(the_site, first), feed(the_site, second)] == [200, 200]
    ours = page.locator("tbody tr", has_text="nightly <b>pull</b>")
    expect(ours.filter(has_text="active")).to_have_count(2)
    for _ in range(2):
        row = ours.filter(has_text="active").first
        row.locator("summary").click()
        row.get_by_role("button", name="Revoke nightly").click()
        expect(page).to_have_url(f"{the_site.url}/tokens")
    assert [feed(the_site, first), feed(the_site, second)] == [401, 401]
    assert reader.complaints == []


def test_tokens_are_readable_on_a_phone(browser: Browser, the_site: Site) -> None:
    """Each is a few lines with their names, not a column of letters, and can be ended there."""
    context = browser.new_context(viewport={"width": 390, "height": 844})
    reader = Reader(context, the_site, OLIVIA)
    page = reader.page
    reader.open("/tokens")
    for name in ("phone, kept", "phone, ended"):
        page.get_by_label("What is it for?").fill(name)
        page.get_by_role("button", name="Make a token").click()
        page.wait_for_selector("#secret")
    page.get_by_role("button", name="Rotate phone, ended").wait_for()
    row = page.locator("tbody tr", has_text="phone, ended")
    row.locator("summary").click()
    row.get_by_role("button", name="Revoke phone").click()
    expect(row.locator(".state")).to_have_text("revoked")
    for name in ("phone, kept", "phone, ended"):
        box = page.locator("tbody tr", has_text=name).bounding_box()
        assert box is not None
        assert box["height"] < 250
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()


def test_tokens_stand_in_line(reader: Reader) -> None:
    """There is room between what the page says and its boxes, and one line between two rows."""
    page = reader.page
    reader.open("/tokens")
    gap = """below => below.getBoundingClientRect().top
        - below.previousElementSibling.getBoundingClientRect().bottom"""
    assert page.locator(".make").evaluate(gap) >= 12
    page.get_by_label("What is it for?").fill("in line")
    page.get_by_role("button", name="Make a token").click()
    assert page.locator(".once").evaluate(gap) >= 12
    assert page.locator(".make").evaluate(gap) >= 12
    row = page.locator("tbody tr", has_text="in line")
    tops = row.locator("td").evaluate_all("all => all.map(td => td.getBoundingClientRect().top)")
    heights = row.locator("td").evaluate_all("all => all.map(td => td.offsetHeight)")
    assert [len(set(tops)), len(set(heights))] == [1, 1]
    row.locator("summary").click()
    assert page.locator(".scroll").evaluate("each => getComputedStyle(each).overflow") == "visible"


def test_tokens_are_no_business_of_an_auditor(browser: Browser, the_site: Site) -> None:
    """Who may only read is neither shown the way there nor let in."""
    context = browser.new_context()
    auditor = Reader(context, the_site, AUDREY)
    assert auditor.open("/log") == 200
    assert auditor.page.get_by_role("link", name="Service tokens").count() == 0
    assert auditor.open("/tokens") == 403
    expect(auditor.page.locator("main")).to_contain_text("audit.subscribe")
    context.close()


def test_tokens_over_the_api_say_where_they_come_from(the_site: Site) -> None:
    """The API does the same; a form of another site, with the cookie alone, does nothing."""
    headers = {"Authorization": f"Bearer {the_site.token(OLIVIA)}"}
    tokens = f"{the_site.url}/v1/service-tokens"
    made = httpx.post(tokens, params={"name": "api"}, headers=headers)
    assert made.status_code == 201
    token = made.json()
    assert feed(the_site, token["token"]) == 200
    listed = httpx.get(tokens, headers=headers).json()["tokens"]
    assert token["id"] in [each["id"] for each in listed]
    assert token["token"] not in str(listed)
    own = {"Authorization": f"Bearer {token['token']}"}
    assert httpx.post(tokens, params={"name": "more"}, headers=own).status_code == 403
    elsewhere = {"Cookie": f"hub_audit_session={the_site.token()}", "Origin": "https://evil.test"}
    for path in (tokens, f"{the_site.url}/tokens"):
        answer = httpx.post(path, params={"name": "x"}, data={"name": "x"}, headers=elsewhere)
        assert answer.status_code == 403, path
    one = f"{tokens}/{token['id']}"
    assert httpx.delete(one, headers=elsewhere).status_code == 403
    assert httpx.delete(one, headers=headers).status_code == 204
    assert httpx.delete(one, headers=headers).status_code == 404
    assert feed(the_site, token["token"]) == 401
