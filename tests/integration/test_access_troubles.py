"""What a browser is told when somebody cannot get in, and what a page says of its installation."""

import asyncio

import pytest
from pydantic import SecretStr

from processor.api import serve
from processor.api.access import COOKIE
from processor.demo import issuer
from processor.demo.issuer import PEOPLE
from processor.errors import DatabaseOutage, StartRefused
from processor.local.port import free_port
from tests.integration.access import beside, chosen, followed, logged_in
from tests.integration.serving import Place

OLIVIA = PEOPLE[0]


async def test_failed_login_is_shown(place: Place) -> None:
    """A browser is told what went wrong and where to begin again: no way leads round in a ring."""
    async with place.browser() as client:
        client.headers["accept"] = "text/html"
        refused = await client.get("/callback?code=x&state=y")
        assert refused.status_code == 401
        assert "start again" in refused.text
        assert 'href="/login"' in refused.text


async def test_tabs_log_in_beside_each_other(place: Place) -> None:
    """Two logins begun at once in one browser both end, each where it was begun."""
    async with place.browser() as client:
        begun = [await followed(client, await client.get(path)) for path in ("/log", "/defend")]
        backs = [await chosen(client, at_issuer, OLIVIA) for at_issuer in begun]
        landed = [await client.get(back) for back in backs]
    assert [answer.headers.get("location") for answer in landed] == ["/log", "/defend"]


async def test_only_who_navigates_is_led_to_the_login(place: Place) -> None:
    """What a script fetches after the session has ended is told so, and begins no login."""
    async with place.browser() as client:
        for path in ("/log", "/defend"):
            refused = await client.get(path, headers={"Sec-Fetch-Mode": "cors"})
            assert (refused.status_code, "refresh" in refused.headers) == (401, False)
            led = await client.get(path, headers={"Sec-Fetch-Mode": "navigate"})
            assert led.headers["refresh"].startswith("0; url=/login?next=")
            assert "location" not in led.headers  # a browser follows none that a form leads to
        assert not client.cookies


async def test_form_after_the_session_has_ended_waits_for_a_login(place: Place) -> None:
    """Who sends one is told that nothing was changed, and gets back to the page of the form."""
    headers = {"Accept": "text/html", "Origin": place.url}
    pages = {"/siem?done=test": "%2Fsiem%3Fdone%3Dtest", "/log": "%2Flog"}
    async with place.browser() as client:
        for path, after in pages.items():
            for order in ("/siem", "/siem/hub/pause", "/views", "/tokens"):
                headers["Referer"] = place.url + path
                told = await client.post(order, data={"name": "x"}, headers=headers)
                assert (told.status_code, "refresh" in told.headers) == (401, False)
                assert "Nothing was changed" in told.text
                assert f'href="/login?next={after}"' in told.text
        headers["Referer"] = "https://evil.example/log"
        told = await client.post("/siem", headers=headers)
        assert 'href="/login"' in told.text
    assert not client.cookies


async def test_address_too_long_to_come_back_to_hinders_no_login(place: Place) -> None:
    """Who asked for that much logs in all the same, and begins at the first page."""
    long = "東" * 1_500
    async with place.browser() as client:
        landed = await client.get("/log", params={"q": f'"{long}"'})
        assert landed.headers["refresh"] == "0; url=/login"
        sent = await client.get("/login", params={"next": f"/log?q={long}"})
        assert sent.headers["location"].startswith(f"{place.issuer.url}/authorize?")


async def test_page_without_a_login_says_so(place: Place) -> None:
    """Where no issuer is set up to log in at, a browser is told, and not sent back to the login."""
    access = place.settings.access.model_copy(update={"authorize_url": ""})
    async with beside(place, access=access) as client:
        client.headers["accept"] = "text/html"
        told = await followed(client, await client.get("/log"))
    assert told.status_code == 401
    assert "no issuer is configured for logins" in told.text
    assert 'class="button"' not in told.text


async def test_page_says_how_long_entries_are_kept(place: Place) -> None:
    """It is the installation's own number of days, not the usual one."""
    async with beside(place, retention_days=400) as client:
        page = await logged_in(client, OLIVIA, "/siem")
        assert "can be replayed for 400 days" in page.text


async def test_page_that_cannot_start_says_so_to_whoever_started_it(place: Place) -> None:
    """Without its database the process fails, so that a supervisor starts it again."""
    dsn = SecretStr(f"postgresql://nobody@127.0.0.1:{free_port()}/none")
    postgres = place.settings.postgres.model_copy(update={"dsn": dsn})
    elsewhere = place.settings.model_copy(
        update={
            "postgres": postgres,
            "serve": place.settings.serve.model_copy(update={"port": free_port()}),
        }
    )
    async with asyncio.timeout(30):
        with pytest.raises(DatabaseOutage):
            await serve.run(elsewhere, asyncio.Event())
        with pytest.raises(StartRefused) as refused:
            await serve.run(place.settings, asyncio.Event())  # where another serves
    assert str(place.settings.serve.port) in refused.value.problems[0]


async def test_token_that_no_browser_keeps_is_said_to_be(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token too long for a cookie would be dropped, and the login begun again, for ever."""
    for length, status in ((2_000, 303), (3_000, 401)):
        monkeypatch.setattr(issuer, "PEOPLE", [OLIVIA._replace(name="O" * length)])
        async with place.browser() as client:
            client.headers["accept"] = "text/html"
            at_issuer = await followed(client, await client.get("/log"))
            landed = await client.get(await chosen(client, at_issuer, OLIVIA))
            assert landed.status_code == status
            assert (COOKIE in client.cookies) == (status == 303)
    assert "too long for a browser" in landed.text
