"""Logging in on the page: the authorization code flow with PKCE (RFC 6749, RFC 7636).

The session is the issuer's access token itself, in a cookie that no script can read: it ends when
the token does, and every request checks it as any other token.
"""

import base64
import hmac
import secrets
from hashlib import sha256
from typing import Annotated, Literal
from urllib.parse import quote, unquote, urlencode, urlsplit

import aiohttp
from fastapi import APIRouter, Query, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from processor.api.access import HTTPS, bearer, cookie_of, viewer_of
from processor.api.problems import Problem
from processor.settings import Settings

router = APIRouter(include_in_schema=False)

CALLBACK = "/callback"
FLOW_COOKIE = "hub_audit_login"
FLOW_SECONDS = 600
"""How long a login may take; so long those are remembered that nobody comes back from."""

FLOW_PARTS = 4
AFTER_CHARACTERS_MAX = 3_000
SESSION_BYTES_MAX = 3_900
"""Of the session's cookie: a browser drops one of more than 4,096 bytes with its attributes."""

EXCHANGE_SECONDS_MAX = 10.0

SEE_OTHER = 303

LOGGED_OUT = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Logged out - Audit Log</title>
<meta name="viewport" content="width=device-width, initial-scale=1"></head>
<body><main><h1>You are logged out</h1>
<p><a href="/login?prompt=select_account">Log in</a></p></main></body></html>
"""


@router.get("/login")
async def login(
    request: Request,
    wanted: Annotated[str, Query(alias="next")] = "/",
    prompt: Annotated[Literal["", "select_account"], Query()] = "",
) -> Response:
    """Send somebody to the issuer, and remember where they wanted to go.

    ``prompt`` has the issuer ask who it is even if it knows somebody.
    """
    settings: Settings = request.app.state.services.settings
    access = settings.access
    if not access.authorize_url:
        raise Problem("token_missing", "no issuer is configured for logins")
    state, nonce, verifier = (secrets.token_urlsafe(size) for size in (24, 24, 48))
    challenge = base64.urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=")
    asked = {
        "response_type": "code",
        "client_id": access.client_id,
        "redirect_uri": _redirect_uri(settings),
        "scope": "openid email profile",
        "state": state,
        "nonce": nonce,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    if prompt:
        asked["prompt"] = prompt
    answer = RedirectResponse(f"{access.authorize_url}?{urlencode(asked)}", SEE_OTHER)
    after = quote(_inside(wanted), safe="")
    # A browser drops a cookie of more than 4,096 bytes, and with it the login.
    flow = "|".join((state, nonce, verifier, after if len(after) <= AFTER_CHARACTERS_MAX else ""))
    _set_cookie(answer, settings, _flow_cookie(state), flow, FLOW_SECONDS, path=CALLBACK)
    return answer


@router.get(CALLBACK)
async def callback(
    request: Request,
    code: Annotated[str, Query(max_length=4_000)] = "",
    state: Annotated[str, Query(max_length=200)] = "",
) -> Response:
    """Take somebody back from the issuer, with the token that their code is worth."""
    services = request.app.state.services
    flow = request.cookies.get(_flow_cookie(state), "").split("|")
    begun, nonce, verifier, after = flow if len(flow) == FLOW_PARTS else ("", "", "", "")
    if not state or not hmac.compare_digest(state.encode(), begun.encode()):
        raise Problem("token_invalid", "this login was not started in this browser: start again")
    token, id_token = await _bounded(request, code, verifier)
    claims = await services.verifier.verify(token)
    await services.verifier.verify_login(id_token, nonce=nonce, subject=claims["sub"])
    viewer_of(claims)
    cookie = cookie_of(services.settings)
    if len(cookie) + len(token) > SESSION_BYTES_MAX:
        raise Problem(
            "token_invalid",
            f"the issuer's token has {len(token):,} characters, which is too long for a browser's "
            "session: have the issuer put less into it",
        )
    answer = RedirectResponse(_inside(unquote(after)), SEE_OTHER)
    _set_cookie(answer, services.settings, cookie, token, max(0, claims["exp"] - claims["iat"]))
    answer.delete_cookie(_flow_cookie(state), path=CALLBACK)
    return answer


@router.post("/logout")
async def logout(request: Request) -> Response:
    """Forget the session."""
    insist_on_origin(request)
    # Not to the page: it would lead to the issuer, where a form of ours must not lead.
    answer = RedirectResponse("/logged-out", SEE_OTHER)
    settings: Settings = request.app.state.services.settings
    # A browser lets this name be taken away only as it may be given.
    answer.delete_cookie(cookie_of(settings), secure=_is_secure(settings), httponly=True)
    return answer


@router.get("/logged-out")
async def logged_out() -> Response:
    """Say that it is done, and how to come back."""
    return HTMLResponse(LOGGED_OUT)


def insist_on_origin(request: Request) -> None:
    """Refuse a form that another site sent; the cookie is not sent by such a one either."""
    settings: Settings = request.app.state.services.settings
    sent_from = request.headers.get("origin") or request.headers.get("referer") or ""
    own = urlsplit(settings.serve.public_url)
    try:
        other = urlsplit(sent_from)
    except ValueError as error:  # no address at all
        raise Problem("csrf") from error
    if (own.scheme, own.netloc) != (other.scheme, other.netloc):
        raise Problem("csrf")


def insist_on_intent(request: Request) -> None:
    """Refuse what a browser sends of itself: with its cookie it has to say where it comes from."""
    if not bearer(request):
        insist_on_origin(request)


async def _bounded(request: Request, code: str, verifier: str) -> tuple[str, str]:
    """Return the tokens for a code; the issuer is not asked for whoever brings bad ones.

    Anybody can make up a cookie and a code that fits it. Other guesses than these count elsewhere:
    whoever shares an address with who guesses tokens can log in.
    """
    services = request.app.state.services
    caller = f"{CALLBACK} {request.client.host if request.client else ''}"
    services.refusals.insist(caller)
    services.limits.take(caller)
    try:
        return await _exchanged(services.settings, code, verifier)
    except Problem:
        services.refusals.take(caller)
        raise


async def _exchanged(settings: Settings, code: str, verifier: str) -> tuple[str, str]:
    """Return the access token and the ID token for a code; raises Problem."""
    access = settings.access
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": _redirect_uri(settings),
        "client_id": access.client_id,
        "code_verifier": verifier,
    }
    if access.client_secret:
        form["client_secret"] = access.client_secret.get_secret_value()
    timeout = aiohttp.ClientTimeout(total=EXCHANGE_SECONDS_MAX)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(access.token_url, data=form, allow_redirects=False) as answer,
        ):
            answer.raise_for_status()
            given = await answer.json(content_type=None)
            tokens = given["access_token"], given["id_token"]
    except (aiohttp.ClientError, TimeoutError, ValueError, LookupError, TypeError) as error:
        raise Problem("token_invalid", "the issuer did not accept the login") from error
    if not all(isinstance(token, str) for token in tokens):
        raise Problem("token_invalid", "the issuer gave no tokens")
    return tokens


def _redirect_uri(settings: Settings) -> str:
    return settings.serve.public_url + CALLBACK


def _flow_cookie(state: str) -> str:
    """Return the name of a login's cookie: those of several tabs are not in each other's way."""
    return f"{FLOW_COOKIE}_{state[:8]}"


def _inside(path: str) -> str:
    """Return a path of ours; an address elsewhere becomes the first page."""
    own = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if own else "/"


def _set_cookie(
    answer: Response, settings: Settings, name: str, value: str, seconds: int, *, path: str = "/"
) -> None:
    answer.set_cookie(
        name,
        value,
        max_age=seconds,
        httponly=True,
        samesite="lax",
        secure=_is_secure(settings),
        path=path,
    )


def _is_secure(settings: Settings) -> bool:
    return settings.serve.public_url.startswith(HTTPS)
