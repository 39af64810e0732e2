"""A tiny OIDC issuer for the demo and the tests: a few people of two organizations, no passwords.

It speaks the authorization code flow with PKCE (RFC 7636), publishes its key, and signs access
tokens as RFC 9068 wants them. Its key is made at the start and lives as long as it does.
"""

import base64
import json
import secrets
import time
from collections import OrderedDict
from hashlib import sha256
from html import escape
from typing import Any, NamedTuple
from urllib.parse import urlencode

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

TOKEN_SECONDS = 3_600
CODE_SECONDS = 60
CODES_MAX = 1_000
KEY_ID = "demo"


class Person(NamedTuple):
    """Somebody who may log in."""

    subject: str
    name: str
    email: str
    org_id: str
    role: str


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

    def __init__(self, url: str, audience: str = "hub-audit") -> None:
        """Make the key; ``url`` is where the issuer is reached."""
        self.url, self._audience = url.rstrip("/"), audience
        self._key = Ed25519PrivateKey.generate()
        self._codes: OrderedDict[str, tuple[Person, str, float]] = OrderedDict()

    def token(self, person: Person, **claims: Any) -> str:
        """Return an access token of somebody; claims may be changed, for tests."""
        now = int(time.time())
        known = {
            "iss": self.url,
            "aud": self._audience,
            "sub": person.subject,
            "iat": now,
            "exp": now + TOKEN_SECONDS,
            "jti": secrets.token_hex(8),
            "email": person.email,
            "name": person.name,
            "org_id": person.org_id,
            "role": person.role,
        }
        headers = {"kid": KEY_ID, "typ": "at+jwt"}
        return jwt.encode(known | claims, self._key, algorithm="EdDSA", headers=headers)

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

    async def _configuration(self, _request: Request) -> Response:
        """Say where everything is."""
        return JSONResponse(
            {
                "issuer": self.url,
                "jwks_uri": f"{self.url}/jwks",
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "response_types_supported": ["code"],
                "code_challenge_methods_supported": ["S256"],
            }
        )

    async def _jwks(self, _request: Request) -> Response:
        """Publish the key."""
        key = json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(self._key.public_key()))
        return JSONResponse({"keys": [key | {"kid": KEY_ID, "use": "sig", "alg": "EdDSA"}]})

    async def _authorize(self, request: Request) -> Response:
        """Let somebody choose who they are, then send them back with a code."""
        asked = dict(request.query_params)
        if asked.get("code_challenge_method") != "S256" or not asked.get("code_challenge"):
            return JSONResponse({"error": "invalid_request"}, status_code=400)
        chosen = asked.pop("person", None)
        person = next((each for each in PEOPLE if each.subject == chosen), None)
        if person is None:
            links = "".join(
                f'<a href="/authorize?{escape(urlencode(asked | {"person": each.subject}))}">'
                f"<span>{escape(each.name)}</span>"
                f"<small>{escape(each.role)}, {escape(each.org_id)}</small></a>"
                for each in PEOPLE
            )
            return HTMLResponse(_PAGE.format(people=links))
        code = secrets.token_urlsafe(24)
        self._codes[code] = person, asked["code_challenge"], time.monotonic() + CODE_SECONDS
        if len(self._codes) > CODES_MAX:
            self._codes.popitem(last=False)
        back = urlencode({"code": code, "state": asked.get("state", "")})
        return RedirectResponse(f"{asked.get('redirect_uri', '/')}?{back}", status_code=303)

    async def _exchange(self, request: Request) -> Response:
        """Give the token for a code, once, to who began the flow."""
        form = await request.form()
        person, challenge, until = self._codes.pop(str(form.get("code")), (None, "", 0.0))
        verifier = str(form.get("code_verifier", ""))
        digest = base64.urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=")
        if person is None or time.monotonic() > until or digest != challenge:
            return JSONResponse({"error": "invalid_grant"}, status_code=400)
        return JSONResponse(
            {
                "access_token": self.token(person),
                "token_type": "Bearer",
                "expires_in": TOKEN_SECONDS,
            }
        )
