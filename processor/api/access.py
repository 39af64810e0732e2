"""Who asks, for which organization, and what they may do.

The organization comes from the token alone. A token is short-lived (``access.token_seconds_max``),
so that what somebody loses at the issuer is lost here within minutes, and with the next token at
the latest; a service token that is revoked is worth nothing from then on. Who guesses service
tokens is soon not listened to any more; a person's token that is good is taken from any address.
"""

import logging
import math
import re
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from fastapi import Request

from processor.api.problems import Problem
from processor.api.tokens import has_expired
from processor.normalize import known_org
from processor.settings import Settings

log = logging.getLogger(__name__)

VIEW, EXPORT, SUBSCRIBE = "audit.view", "audit.export", "audit.subscribe"
ACKNOWLEDGE = "audit.acknowledge"
ROLES = {
    "owner": frozenset({VIEW, EXPORT, SUBSCRIBE, ACKNOWLEDGE}),
    "admin": frozenset({VIEW, EXPORT, SUBSCRIBE, ACKNOWLEDGE}),
    "auditor": frozenset({VIEW, EXPORT}),
}
COOKIE = "hub_audit_session"
HTTPS = "https://"
SERVICE_PREFIX = "hubaudit_"
CLAIM_CHARACTERS_MAX = 256

# JSON can name them, but no UTF-8 has half a pair, no text in Postgres has a NUL.
_NO_CHARACTER = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class Viewer(NamedTuple):
    """Who asks: always of one organization."""

    org_id: str
    subject: str
    email: str | None
    name: str | None
    role: str
    permissions: frozenset[str]
    type: str = "user"
    valid_until: float = math.inf  # in seconds of UNIX time
    client: Mapping[str, str] = MappingProxyType({})  # where it came from, as events say it

    @property
    def actor(self) -> dict[str, str]:
        """The viewer as the actor of an event."""
        known = {"type": self.type, "id": self.subject, "email": self.email, "name": self.name}
        return {name: value for name, value in known.items() if value}


def viewer_of(claims: Any) -> Viewer:
    """Return who a token's claims speak of; raises Problem when they name no organization."""
    org_id = known_org(claims.get("org_id"))
    if org_id is None:
        raise Problem("token_invalid", "the token names no organization")
    role = _text(str(claims.get("role", ""))) or ""
    return Viewer(
        org_id=org_id,
        subject=claims["sub"],
        email=_text(claims.get("email")),
        name=_text(claims.get("name")),
        role=role,
        permissions=ROLES.get(role.lower(), frozenset()),
        valid_until=claims["exp"],
    )


def cookie_of(settings: Settings) -> str:
    """Return the name of the session's cookie.

    With HTTPS it is one that a browser takes from this host alone: no other of its domain, and
    nobody who answers for it without TLS, can put another session in its place.
    """
    return f"__Host-{COOKIE}" if settings.serve.public_url.startswith(HTTPS) else COOKIE


def require(permission: str) -> Callable[[Request], Awaitable[Viewer]]:
    """Return the dependency that lets those pass who have a permission, and tells of the others."""

    async def permitted(request: Request) -> Viewer:
        """Return who asks; raises Problem."""
        viewer = await identified(request)
        services = request.app.state.services
        services.limits.take(f"{viewer.org_id}/{viewer.subject}")
        if permission not in viewer.permissions:
            await services.self_audit.denied(viewer, permission, request.url.path)
            raise Problem(
                "permission_missing",
                f"{permission} is missing: Owners and Admins of {viewer.org_id} have it, and can "
                "make you one or an Auditor",
                permission=permission,
            )
        return viewer

    return permitted


async def identified(request: Request) -> Viewer:
    """Return who asks, by the header or the page's cookie; raises Problem."""
    services = request.app.state.services
    token = bearer(request) or request.cookies.get(cookie_of(services.settings))
    if not token:
        raise Problem("token_missing")
    address = request.client.host if request.client else ""
    try:
        if token.startswith(SERVICE_PREFIX):
            # A guess at one costs a look into the store; a signature is checked in microseconds,
            # and whoever shares an address with a guesser must not be locked out by that.
            services.refusals.insist(address)
            viewer: Viewer = await services.service_viewer(token)
        else:
            viewer = viewer_of(await services.verifier.verify(token))
    except Problem as problem:
        if problem.code == "token_invalid" and not has_expired(problem):
            services.refusals.take(address)
            log.warning("token_refused", extra={"address": address, "why": problem.detail})
        raise
    sent = {"ip": address, "user_agent": request.headers.get("user-agent")}
    return viewer._replace(client={name: text for name, text in sent.items() if text})


def bearer(request: Request) -> str | None:
    """Return the token that a request names in its header, and which no browser sends of itself."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _text(claim: object) -> str | None:
    if not isinstance(claim, str) or not claim:
        return None
    return _NO_CHARACTER.sub("\N{REPLACEMENT CHARACTER}", claim[:CLAIM_CHARACTERS_MAX])
