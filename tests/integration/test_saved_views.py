"""Who keeps views, and for whom."""

import httpx

from processor.api.access import COOKIE
from processor.demo.issuer import PEOPLE, Person
from tests.integration.serving import Place

OLIVIA, ADAM, AUDREY, *_ = PEOPLE
MINE = {"name": "Mine", "q": "outcome:failure"}
SHARED = {"name": "Ours", "q": "outcome:failure", "shared": "1"}


def somebody(place: Place, person: Person) -> httpx.AsyncClient:
    """Return the browser of somebody who is logged in, on our page."""
    cookies, headers = {COOKIE: place.issuer.token(person)}, {"Origin": place.url}
    return httpx.AsyncClient(base_url=place.url, cookies=cookies, headers=headers)


async def test_auditor_keeps_views_of_their_own_alone(place: Place) -> None:
    """What everybody has is for Owners and Admins to change; an Auditor sees it, and no way to."""
    async with somebody(place, OLIVIA) as olivia, somebody(place, AUDREY) as audrey:
        assert (await olivia.post("/views", data=SHARED)).status_code == 303
        assert (await audrey.post("/views", data=MINE)).status_code == 303
        for path in ("/views", "/views/forget"):
            refused = await audrey.post(path, data=SHARED | {"q": "action:user.*"})
            assert (refused.status_code, refused.json()["code"]) == (403, "permission_missing")
        theirs, ours = (await audrey.get("/log")).text, (await olivia.get("/log")).text
    assert 'aria-label="Delete Mine"' in theirs
    assert "/log?q=outcome%3Afailure" in theirs
    for offered in ('aria-label="Delete Ours"', "for everybody in acme"):
        assert offered not in theirs
        assert offered in ours
    assert [data["asked"] for name, data in place.told() if name == "audit.denied.v1"] == [
        "/views", "/views/forget",
    ]  # fmt: skip


async def test_programs_keep_no_views(place: Place) -> None:
    """A service token reads; it leaves nothing behind, neither for itself nor for everybody."""
    token = (await place.ordered("create", "acme", "pull"))["token"]
    headers = {"Authorization": f"Bearer {token}", "Origin": place.url}
    async with place.browser() as client:
        for view in (MINE, SHARED):
            refused = await client.post("/views", data=view, headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (403, "permission_missing")
