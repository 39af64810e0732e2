"""A tiny OIDC issuer for the demo and the tests: a few people of two organizations, no passwords.

It speaks the authorization code flow with PKCE (RFC 7636), publishes its key, and signs ID tokens
and access tokens, these as RFC 9068 wants them. Whoever reaches it can be anybody in it, so people
are sent back to this machine alone.
"""

import asyncio
import base64
import json
import secrets
import socket
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from hashlib import sha256
from html import escape
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import jwt
import uvicorn
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

CLIENT_ID = AUDIENCE = "hub-audit"
TOKEN_SECONDS = 300
CODE_SECONDS = 60
CODES_MAX = 1_000
STOP_SECONDS = 2.0
PERSON_COOKIE = "hub_demo_person"
PERSON_GRANT = "urn:hub-audit:demo:person"
"""A grant of the demo alone, for those who try the API by hand: a person's name for a token."""

_HERE = frozenset({"127.0.0.1", "localhost", "::1"})


class Person(NamedTuple):
    """Somebody who may log in."""

    subject: str
    name: str
    email: str
    org_id: str
    role: str

    def claims(self) -> dict[str, str]:
        """Return what tokens say of the person."""
        return {
            "sub": self.subject,
            "email": self.email,
            "name": self.name,
            "org_id": self.org_id,
            "role": self.role,
        }


class Grant(NamedTuple):
    """What a code can be exchanged for, once."""

    person: Person
    asked: Mapping[str, str]
    until: float


PEOPLE = (
    Person("usr_olivia", "Olivia Owner", "olivia@acme.example", "acme", "Owner"),
    Person("usr_adam", "Adam Admin", "adam@acme.example", "acme", "Admin"),
    Person("usr_audrey", "Audrey Auditor", "audrey@acme.example", "acme", "Auditor"),
    Person("usr_mia", "Mia Member", "mia@acme.example", "acme", "Member"),
    Person("usr_gus", "Gus Owner", "gus@globex.example", "globex", "Owner"),
    Person("usr_greta", "Greta Member", "greta@globex.example", "globex", "Member"),
)

_PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Hub demo login</title>
<style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }}
main {{ max-width: 26rem; margin: 12vh auto; padding: 0 1.25rem; }}
a {{ display: flex; justify-content: space-between; gap: 1rem; padding: .7rem 1rem; margin: .5rem 0;
  border: 1px solid light-dark(#d5d9e0, #3a4150); border-radius: .5rem; text-decoration: none;
  color: inherit; }}
a:hover, a:focus-visible {{ border-color: light-dark(#3b5bdb, #91a7ff); }}
small {{ opacity: .7; }}
</style></head><body><main><h1>Who are you?</h1>
<p>This issuer belongs to the demo: nobody has a password.</p>{people}</main></body></html>"""


class Issuer:
    """Signs tokens with a key of its own."""

    def __init__(self, url: str, audience: str = AUDIENCE) -> None:
        """Make the key; ``url`` is where the issuer is reached."""
        self.url, self._audience = url.rstrip("/"), audience
        self._codes: OrderedDict[str, Grant] = OrderedDict()
        self.turn_key()

    def turn_key(self) -> None:
        """Sign with another key from now on; the one before is taken back."""
        self._key, self._key_id = Ed25519PrivateKey.generate(), secrets.token_hex(8)

    def settings(self) -> dict[str, str]:
        """Return the environment in which Hub Audit takes this issuer's word."""
        return {
            "HUB_AUDIT_ACCESS_ISSUER": self.url,
            "HUB_AUDIT_ACCESS_JWKS_URL": f"{self.url}/jwks",
            "HUB_AUDIT_ACCESS_AUTHORIZE_URL": f"{self.url}/authorize",
            "HUB_AUDIT_ACCESS_TOKEN_URL": f"{self.url}/token",
            "HUB_AUDIT_ACCESS_AUDIENCE": self._audience,
            "HUB_AUDIT_ACCESS_CLIENT_ID": CLIENT_ID,
        }

    def token(self, person: Person, **claims: Any) -> str:
        """Return an access token of somebody; claims may be changed, for tests."""
        said = {"aud": self._audience, "jti": secrets.token_hex(8), "client_id": CLIENT_ID}
        return self.signed(said | person.claims() | claims, typ="at+jwt")

    def id_token(self, person: Person, nonce: str, **claims: Any) -> str:
        """Return the proof of a login, which is for the client alone."""
        return self.signed({"aud": CLIENT_ID, "nonce": nonce} | person.claims() | claims)

    def signed(self, claims: Mapping[str, Any], **header: Any) -> str:
        """Sign claims; they may say otherwise than is usual about issuer and times."""
        now = int(time.time())
        times = {"iss": self.url, "iat": now, "exp": now + TOKEN_SECONDS}
        headers = {"kid": self._key_id} | header
        return jwt.encode(times | dict(claims), self._key, algorithm="EdDSA", headers=headers)

    def application(self) -> Starlette:
        """Return the issuer as an application."""
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._configuration),
                Route("/jwks", self._jwks),
                Route("/authorize", self._authorize),
                Route("/token", self._exchange, methods=["POST"]),
            ]
        )

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Serve the issuer at its URL for the length of a block."""
        place = urlsplit(self.url)
        listening = socket.create_server((place.hostname or "127.0.0.1", place.port or 80))
        config = uvicorn.Config(
            self.application(), log_config=None, access_log=False, lifespan="off"
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server._serve([listening]))  # noqa: SLF001 - not our signals
        try:
            yield
        finally:
            server.should_exit = True
            await asyncio.wait([serving], timeout=STOP_SECONDS)
            serving.cancel()
            listening.close()

    async def _configuration(self, _request: Request) -> Response:
        """Say where everything is."""
        return JSONResponse(
            {
                "issuer": self.url,
                "jwks_uri": f"{self.url}/jwks",
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "response_types_supported": ["code"],
                "subject_types_supported": ["public"],
                "grant_types_supported": ["authorization_code", PERSON_GRANT],
                "id_token_signing_alg_values_supported": ["EdDSA"],
                "code_challenge_methods_supported": ["S256"],
            }
        )

    async def _jwks(self, _request: Request) -> Response:
        """Publish the key."""
        key = json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(self._key.public_key()))
        return JSONResponse({"keys": [key | {"kid": self._key_id, "use": "sig", "alg": "EdDSA"}]})

    async def _authorize(self, request: Request) -> Response:
        """Let somebody choose who they are, then send them back with a code.

        Who has chosen before is sent back at once, unless the client wants them to choose again.
        """
        asked = dict(request.query_params)
        chosen = asked.pop("person", None)
        if _wrong(asked):
            return JSONResponse({"error": "invalid_request"}, status_code=400)
        again = asked.pop("prompt", "") in {"login", "select_account"}
        person = _person(chosen or ("" if again else request.cookies.get(PERSON_COOKIE, "")))
        if person is None:
            return HTMLResponse(_PAGE.format(people="".join(_links(asked))))
        code = secrets.token_urlsafe(24)
        self._codes[code] = Grant(person, asked, time.monotonic() + CODE_SECONDS)
        if len(self._codes) > CODES_MAX:
            self._codes.popitem(last=False)
        back = urlencode({"code": code, "state": asked.get("state", ""), "iss": self.url})
        answer = RedirectResponse(f"{asked['redirect_uri']}?{back}", status_code=303)
        answer.set_cookie(PERSON_COOKIE, person.subject, httponly=True, samesite="lax")
        return answer

    async def _exchange(self, request: Request) -> Response:
        """Give the tokens for a code, once, to who began the flow."""
        form = {name: str(value) for name, value in (await request.form()).items()}
        if form.get("grant_type") == PERSON_GRANT and (person := _person(form.get("person", ""))):
            return self._given(person)
        grant = self._codes.pop(form.get("code", ""), None)
        if grant is None or not _fits(grant, form):
            return JSONResponse({"error": "invalid_grant"}, status_code=400)
        return self._given(grant.person, grant.asked.get("nonce", ""))

    def _given(self, person: Person, nonce: str | None = None) -> Response:
        """Answer with an access token, and at a login with an ID token."""
        given: dict[str, Any] = {"token_type": "Bearer", "expires_in": TOKEN_SECONDS}
        given["access_token"] = self.token(person)
        if nonce is not None:
            given["id_token"] = self.id_token(person, nonce)
        return JSONResponse(given, headers={"Cache-Control": "no-store"})


def challenge_of(verifier: str) -> str:
    """Return the S256 challenge of a PKCE verifier."""
    return base64.urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=")


def _person(name: str) -> Person | None:
    """Return somebody by subject or by address."""
    return next((each for each in PEOPLE if name in {each.subject, each.email}), None)


def _wrong(asked: Mapping[str, str]) -> bool:
    """Tell whether a request is not that of our client on this machine, with PKCE."""
    back = urlsplit(asked.get("redirect_uri", ""))
    return (
        asked.get("client_id") != CLIENT_ID
        or asked.get("response_type") != "code"
        or asked.get("code_challenge_method") != "S256"
        or not asked.get("code_challenge")
        or back.scheme not in {"http", "https"}
        or back.hostname not in _HERE
    )


def _links(asked: Mapping[str, str]) -> Iterator[str]:
    """Yield a link for everybody who may log in."""
    for each in PEOPLE:
        choice = escape(urlencode({**asked, "person": each.subject}))
        yield (
            f'<a href="/authorize?{choice}"><span>{escape(each.name)}</span>'
            f"<small>{escape(each.role)}, {escape(each.org_id)}</small></a>"
        )


def _fits(grant: Grant, form: Mapping[str, str]) -> bool:
    """Tell whether a code comes, in time, from the client that it was given to."""
    return (
        time.monotonic() < grant.until
        and form.get("grant_type") == "authorization_code"
        and form.get("client_id") == grant.asked["client_id"]
        and form.get("redirect_uri") == grant.asked["redirect_uri"]
        and challenge_of(form.get("code_verifier", "")) == grant.asked["code_challenge"]
    )
