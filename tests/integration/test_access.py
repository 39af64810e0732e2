"""Who gets in: logins with an issuer, permissions by role, and the tokens of programs."""

import asyncio
import re
import time
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import httpx
import psycopg
from click.testing import CliRunner

from processor.api.access import COOKIE
from processor.api.login import FLOW_COOKIE
from processor.cli import main
from processor.demo.issuer import PEOPLE, PERSON_GRANT
from processor.local.port import free_port
from tests.integration.access import chosen, followed, logged_in
from tests.integration.serving import Place

OLIVIA, ADAM, AUDREY, MIA, GUS, GRETA = PEOPLE
LOG = "/v1/audit-entries"
CSV = "/v1/audit-entries.csv"


async def test_login_leads_to_where_one_wanted_to_go(place: Place) -> None:
    """A page leads to the issuer and back; the cookie is for no script and no other site."""
    wanted = "/log?q=%22Z%C3%BCrich%20%E6%9D%B1%E4%BA%AC%22"
    async with place.browser() as client:
        at_issuer = await followed(client, await client.get(wanted))
        back = await chosen(client, at_issuer, OLIVIA)
        landed = await client.get(back)
        (cookie,) = [
            each for each in landed.headers.get_list("set-cookie") if each.startswith(COOKIE)
        ]
        assert {"HttpOnly", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
        page = await followed(client, landed)
        assert (page.status_code, page.url.path) == (200, "/log")
        assert page.url.params["q"] == '"Zürich 東京"'
        assert "Olivia Owner" in page.text
        assert (await client.get(LOG)).status_code == 200
        assert FLOW_COOKIE not in str(client.cookies)


async def test_session_that_ended_is_renewed_without_a_click(place: Place) -> None:
    """When the token has run out, the issuer still knows who it is and leads straight back."""
    async with place.browser() as client:
        await logged_in(client, OLIVIA, "/log")
        client.cookies.delete(COOKIE)
        page = await followed(client, await client.get("/log"))
        assert (page.status_code, page.url.path) == (200, "/log")


async def test_download_leads_by_the_login_and_programs_are_told(place: Place) -> None:
    """Whose session has ended gets the file by the login; a program gets a problem document."""
    async with place.browser() as client:
        refused = await client.get(
            CSV, headers={"Authorization": "Bearer x", "Accept": "text/html"}
        )
        assert (refused.status_code, refused.json()["code"]) == (401, "token_invalid")
        assert (await client.get(CSV)).json()["code"] == "token_missing"
        client.headers["accept"] = "text/html,*/*;q=0.8"
        assert (await client.get(LOG)).json()["code"] == "token_missing"
        file = await logged_in(client, OLIVIA, f"{CSV}?filter=created:1d")
        assert file.url.params["filter"] == "created:1d"
        assert file.headers["content-disposition"].startswith("attachment")
    async with place.browser() as client:
        client.headers["accept"] = "text/html,*/*;q=0.8"
        denied = await logged_in(client, MIA, CSV)
        assert denied.status_code == 403
        assert "Owners and Admins" in denied.text


async def test_logout_ends_the_session(place: Place) -> None:
    """After a logout the page asks who it is, and another one may log in."""
    async with place.browser() as client:
        await logged_in(client, OLIVIA, "/log")
        for origin in ("https://evil.example", "http://[", "null"):
            foreign = await client.post("/logout", headers={"Origin": origin})
            assert (foreign.status_code, foreign.json()["code"]) == (403, "csrf"), origin
        assert (await client.post("/logout")).status_code == 403
        assert (await client.get(LOG)).status_code == 200
        left = await client.post("/logout", headers={"Origin": place.url})
        assert left.headers["location"] == "/logged-out"
        assert (await client.get(LOG)).status_code == 401
        said = await client.get("/logged-out")
        (again,) = re.findall(r'href="(/login[^"]*)"', said.text)
        page = await logged_in(client, GUS, again)
        assert "globex" in page.text


async def test_cookie_counts_beside_another_header_only_from_the_page(place: Place) -> None:
    """What no token is in proves no intent: a browser sends some such headers of itself."""
    order = {"format": "hub"}
    async with place.browser() as client:
        client.cookies.set(COOKIE, place.issuer.token(OLIVIA))
        for header in ("Basic eDp4", "Bearer", "Negotiate x", ""):
            sent = {"Authorization": header, "Origin": "https://evil.example"}
            for method, path in (
                *(("POST", "/v1/subscriptions"), ("DELETE", "/v1/subscriptions/hub")),
                *(
                    ("POST", "/v1/service-tokens?name=x"),
                    ("POST", f"/v1/findings/{UUID(int=1)}/acknowledge"),
                ),
            ):
                answer = await client.request(method, path, json=order, headers=sent)
                assert (answer.status_code, answer.json()["code"]) == (403, "csrf"), (header, path)
        own = {"Authorization": "Basic eDp4", "Origin": place.url}
        assert (await client.post("/v1/subscriptions", json=order, headers=own)).status_code == 201
        assert (await client.delete("/v1/subscriptions/hub", headers=own)).status_code == 204


async def test_login_begun_elsewhere_is_refused(place: Place) -> None:
    """A code is worth nothing in a browser that did not ask for it, and nothing twice."""
    async with place.browser() as client, place.browser() as victim:
        at_issuer = await followed(client, await client.get("/log"))
        back = await chosen(client, at_issuer, OLIVIA)
        assert (await victim.get(back)).status_code == 401
        await victim.get("/login")
        assert (await victim.get(back)).status_code == 401
        state = parse_qs(urlsplit(back).query)["state"][0]
        for wrong in ("", "?code=x", f"?state={state}", f"?code=x&state={state}", "?error=denied"):
            assert (await client.get(f"/callback{wrong}")).status_code == 401, wrong
        name = f"{FLOW_COOKIE}_{state[:8]}"
        flow = client.cookies[name]
        assert (await client.get(back)).status_code == 303
        client.cookies.set(name, flow)
        assert (await client.get(back)).status_code == 401
        assert COOKIE not in victim.cookies


async def test_proof_of_another_login_is_refused(place: Place) -> None:
    """A code whose ID token carries another nonce logs nobody in."""
    async with place.browser() as client:
        sent = await client.get("/login")
        asked = httpx.URL(sent.headers["location"]).copy_set_param("nonce", "other")
        back = await chosen(client, await client.get(asked), OLIVIA)
        assert (await client.get(back)).status_code == 401
        assert COOKIE not in client.cookies


async def test_who_makes_logins_up_is_soon_not_asked_for(place: Place) -> None:
    """Thirty codes that are none, and the issuer is left alone: a good one is not spent either."""
    forged = {f"{FLOW_COOKIE}_state": "state|nonce|verifier|%2F"}
    async with place.browser() as client, place.browser() as guesser:
        guesser.cookies.update(forged)
        address = {"X-Forwarded-For": "198.51.100.7"}
        answers = [
            (await guesser.get("/callback?code=x&state=state", headers=address)).status_code
            for _ in range(40)
        ]
        assert answers[:30] == [401] * 30
        assert answers[-1] == 429
        at_issuer = await followed(client, await client.get("/log"))
        back = await chosen(client, at_issuer, OLIVIA)
        assert (await client.get(back, headers=address)).status_code == 429
        assert (await client.get(back)).status_code == 303


async def test_login_leads_nowhere_else(place: Place) -> None:
    """Whatever a link to the login says, it ends on a page of ours."""
    for wanted in (
        *("https://evil.example/", "//evil.example/", "/\\evil.example", "\\/evil.example"),
        *("javascript:alert(1)", "evil", "", "/\t/evil.example", "/a\r\nSet-Cookie: x=y"),
        "/" + "x" * 3_500,
    ):
        async with place.browser() as client:
            sent = await client.get("/login", params={"next": wanted})
            assert sent.headers["location"].startswith(f"{place.issuer.url}/authorize?"), wanted
            back = await chosen(client, await client.get(sent.headers["location"]), OLIVIA)
            assert (await client.get(back)).headers["location"] == "/", wanted


async def test_role_says_what_is_permitted(place: Place) -> None:
    """Owners, Admins and Auditors read and export, Members get a 403 that says who can help."""
    statuses = {}
    for person in PEOPLE:
        token = place.issuer.token(person)
        answers = [(await place.ask(path, token)).status_code for path in (LOG, CSV)]
        statuses[person.name] = answers
    assert statuses == {
        "Olivia Owner": [200, 200],
        "Adam Admin": [200, 200],
        "Audrey Auditor": [200, 200],
        "Mia Member": [403, 403],
        "Gus Owner": [200, 200],
        "Greta Member": [403, 403],
    }
    refused = (await place.ask(LOG, place.issuer.token(MIA))).json()
    assert refused["code"] == "permission_missing"
    assert "Owners and Admins of acme" in refused["detail"]
    denied = [data for name, data in place.told() if name == "audit.denied.v1"]
    assert [(each["actor"]["id"], each["asked"]) for each in denied] == [
        (MIA.subject, LOG), (MIA.subject, CSV), (GRETA.subject, LOG), (GRETA.subject, CSV),
    ]  # fmt: skip


async def test_role_that_is_not_known_permits_nothing(place: Place) -> None:
    """What is nearly a role, or no text at all, is none."""
    for role in ("", "owner ", "Owners", "Superowner", "öwner", 7, None, ["Owner"], {"Owner": 1}):
        answer = await place.ask(LOG, place.issuer.token(OLIVIA, role=role))
        assert answer.status_code == 403, role


async def test_lost_role_is_lost_with_the_next_token(place: Place) -> None:
    """Who is made a Member is refused as soon as the issuer says so, in the same browser."""
    async with place.browser() as client:
        await logged_in(client, OLIVIA, "/log")
        client.cookies.delete(COOKIE)
        client.cookies.set(COOKIE, place.issuer.token(OLIVIA, role="Member"))
        assert (await client.get(LOG)).status_code == 403
        page = await client.get("/log")
        assert page.status_code == 403
        assert "Ask" in page.text


async def test_nobody_is_let_in_without_a_token(place: Place) -> None:
    """No token, or one in the wrong place, is a 401 that names the scheme; in no address is one."""
    token = place.issuer.token(OLIVIA)
    async with place.browser() as client:
        for headers in (
            {},
            {"Authorization": token},
            {"Authorization": f"Basic {token}"},
            {"Authorization": "Bearer"},
            {"X-Forwarded-User": "olivia"},
        ):
            answer = await client.get(LOG, headers=headers)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        in_address = await client.get(LOG, params={"access_token": token})
        assert (in_address.status_code, in_address.json()["code"]) == (400, "request_invalid")
        lower = await client.get(LOG, headers={"authorization": f"bearer {token}"})
        assert lower.status_code == 200


async def test_who_guesses_tokens_is_soon_not_listened_to(place: Place) -> None:
    """Thirty tokens that are none, and the address's guesses are not looked up; people get in."""
    now = int(time.time())
    old = place.issuer.token(OLIVIA, iat=now - 400, exp=now - 200)
    good = place.issuer.token(OLIVIA)
    async with place.browser() as client:

        async def asked(token: str, address: str = "198.51.100.7") -> int:
            """Return the status that a token gets from an address."""
            headers = {"Authorization": f"Bearer {token}", "X-Forwarded-For": address}
            return (await client.get(LOG, headers=headers)).status_code

        assert {await asked(old) for _ in range(40)} == {401}
        assert await asked(good) == 200
        answers = [await asked(f"hubaudit_{number}") for number in range(40)]
        assert answers[:30] == [401] * 30
        assert answers[-1] == 429
        assert await asked(good) == 200
        assert await asked("hubaudit_0", "198.51.100.8") == 401


async def test_person_may_be_named_instead_of_clicked_on(place: Place) -> None:
    """At the demo's issuer a token is one command, for those who try the API by hand."""
    async with httpx.AsyncClient() as client:
        form = {"grant_type": PERSON_GRANT, "person": "olivia@acme.example"}
        given = await client.post(f"{place.issuer.url}/token", data=form)
        nobody = await client.post(f"{place.issuer.url}/token", data=form | {"person": "eve"})
    assert (await place.ask(LOG, given.json()["access_token"])).status_code == 200
    assert nobody.status_code == 400


async def test_program_reads_with_a_token_of_its_own(place: Place) -> None:
    """A service token reads its organization's log, exports nothing, and is kept as a hash."""
    made = await place.ordered("create", "acme", "nightly SIEM pull")
    token = made["token"]
    assert (await place.ask(LOG, token)).status_code == 200
    assert (await place.ask(CSV, token)).status_code == 403
    for wrong in (token[:-1], token + "x", token.upper(), "hubaudit_", "hubaudit_é"):
        async with place.browser() as client:
            headers = {b"Authorization": f"Bearer {wrong}".encode()}
            assert (await client.get(LOG, headers=headers)).status_code == 401
    (listed,) = await place.ordered("list", "acme")
    assert listed["id"] == made["id"]
    assert (listed["state"], listed["name"]) == ("active", "nightly SIEM pull")
    assert listed["last_used_at"]
    assert await place.ordered("list", "globex") == []
    with psycopg.connect(place.dsn) as connection:
        rows = connection.execute("SELECT service_tokens::text FROM service_tokens").fetchall()
    assert token not in str(rows)
    assert token.removeprefix("hubaudit_") not in str(rows)
    actors = [data["actor"] for name, data in place.told() if name == "audit.viewed.v1"]
    assert actors == [
        {"type": "service", "id": f"service-token:{made['id']}", "name": "nightly SIEM pull"}
    ]


async def test_token_is_rotated_with_an_overlap_and_revoked_at_once(place: Place) -> None:
    """The old token is taken until the overlap ends, a revoked or expired one not any more."""
    old = await place.ordered("create", "acme", "pull", "--days", "30")
    new = await place.ordered("rotate", "acme", old["id"], "--overlap-hours", "1")
    assert [(await place.ask(LOG, each["token"])).status_code for each in (old, new)] == [200, 200]
    next_one = await place.ordered("rotate", "acme", new["id"], "--overlap-hours", "0")
    assert (await place.ask(LOG, new["token"])).status_code == 401
    done = await asyncio.to_thread(place.run, "revoke", "acme", next_one["id"], "--yes")
    assert done.exit_code == 0
    assert (await place.ask(LOG, next_one["token"])).status_code == 401
    states = {each["id"]: each["state"] for each in await place.ordered("list", "acme")}
    assert states == {old["id"]: "active", new["id"]: "expired", next_one["id"]: "revoked"}
    for order in (["rotate", "acme", new["id"]], ["revoke", "globex", old["id"], "--yes"]):
        again = await asyncio.to_thread(place.run, *order)
        assert (again.exit_code, again.stdout) == (1, ""), order
    assert (await place.ask(LOG, old["token"])).status_code == 200


def test_token_for_nobody_is_refused() -> None:
    """A token has an organization that can exist and a name that can be shown."""
    env = {"HUB_AUDIT_POSTGRES_DSN": f"postgresql://127.0.0.1:{free_port()}/none"}
    for who in (("acme/../globex", "x"), ("", "x"), ("acme", ""), ("acme", "a\nb")):
        done = CliRunner(env=env).invoke(main, ["tokens", "create", "--", *who])
        assert done.exit_code == 1, who
        assert "1 to 1" in done.stderr, who
