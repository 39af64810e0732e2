"""Service tokens on the page, without a browser: what its forms send, and what it says."""

import re
from datetime import UTC, datetime, timedelta

import httpx

from processor.api.access import COOKIE
from processor.demo.issuer import PEOPLE
from tests.integration.serving import Place

OLIVIA = PEOPLE[0]
ROTATE = re.compile(
    r'action="(?P<path>/tokens/[^"]+/rotate)">'
    r'<input type="hidden" name="days" value="(?P<days>\d+)"'
)


async def test_token_in_the_place_of_another_one_is_for_as_long(place: Place) -> None:
    """Rotated on the page, a token of a year is followed by another one; times have their zone."""
    cookies, headers = {COOKIE: place.issuer.token(OLIVIA)}, {"Origin": place.url}
    async with httpx.AsyncClient(base_url=place.url, cookies=cookies, headers=headers) as client:
        made = await client.post("/tokens", data={"name": "yearly", "days": "366"})
        (form,) = ROTATE.finditer(made.text)
        assert "A new token for 366 days" in made.text
        rotated = await client.post(form["path"], data={"days": form["days"]})
        assert rotated.status_code == 200
    listed = await place.ordered("list", "acme")
    ends = sorted(datetime.fromisoformat(each["expires_at"]) for each in listed)
    left = [(end - datetime.now(UTC)) / timedelta(days=1) for end in ends]
    assert [round(days) for days in left] == [1, 366]
    for end in ends:
        assert f"{end.astimezone(UTC):%Y-%m-%d %H:%M}Z</time>" in rotated.text
    assert "and the findings of Defend, and nothing else" in rotated.text


async def test_page_that_is_loaded_again_makes_no_other_token(place: Place) -> None:
    """What a browser sends a second time leads to the list; the next form makes another one."""
    cookies, headers = {COOKIE: place.issuer.token(OLIVIA)}, {"Origin": place.url}
    async with httpx.AsyncClient(base_url=place.url, cookies=cookies, headers=headers) as client:
        page = await client.get("/tokens")
        order = {"name": "pull", "days": "30", "form": form_of(page)}
        made = [await client.post("/tokens", data=order) for _ in range(2)]
        another = await client.post("/tokens", data=order | {"name": "push"})
        (first, *_) = ROTATE.finditer(made[0].text)
        turn = {"days": "30", "form": form_of(made[0])}
        rotated = [await client.post(first["path"], data=turn) for _ in range(2)]
        next_one = await client.post(first["path"], data=turn | {"form": form_of(rotated[0])})
    answers = [*made, another, *rotated, next_one]
    assert [each.status_code for each in answers] == [200, 303, 200, 200, 303, 200]
    assert {each.headers.get("location") for each in (made[1], rotated[1])} == {"/tokens"}
    listed = await place.ordered("list", "acme")
    assert sorted(each["name"] for each in listed) == ["pull", "pull", "pull", "push"]


def form_of(page: httpx.Response) -> str:
    """Return what the forms of a page are known by."""
    (form,) = set(re.findall(r'name="form" value="([^"]+)"', page.text))
    return str(form)


async def test_program_reads_what_the_page_says(place: Place) -> None:
    """The log and the findings, and nothing of the rest."""
    token = (await place.ordered("create", "acme", "pull"))["token"]
    statuses = {
        path: (await place.ask(path, token)).status_code
        for path in ("/v1/feed", "/v1/findings", "/v1/subscriptions", "/v1/service-tokens")
    }
    assert list(statuses.values()) == [200, 200, 403, 403], statuses
