"""OIDC tokens: asymmetric signatures alone, one issuer, keys from one address.

RFC 9068 (JWT access tokens), RFC 8725 (best practices). What a token says about where its key is
(``jku``, ``x5u``, ``jwk``) is never read. Keys are kept, so that a request asks nobody anything.
"""

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any

import aiohttp
import jwt

from processor.api.problems import Problem
from processor.jwks import ALGORITHMS, Keys, fetched
from processor.settings import Access

log = logging.getLogger(__name__)

TOKEN_BYTES_MAX = 8_192
TYPES = ("at+jwt", "application/at+jwt")
REQUIRED = ("exp", "iat", "iss", "aud", "sub")
LEEWAY_SECONDS = 30
REFRESH_SECONDS_MIN = 30.0
"""Between two requests for keys: tokens with made-up key ids must not flood the issuer."""

RETRY_SECONDS_MIN = 1.0
"""The same, as long as there is no key at all and nobody can get in."""

KEYS_SECONDS_MAX = 600.0
"""Until kept keys are asked for again: one that the issuer took back must not live on here."""

STALE_SECONDS_MAX = 86_400.0
"""Until kept keys are taken no longer: an issuer that is away for a day may have lost one."""

SUBJECT_CHARACTERS_MAX = 255

# A header may hold what no parser's depth is made for, and a time what is no number of seconds.
_REFUSED = (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError)


class Verifier:
    """Says what a token's claims are, if its word can be taken."""

    def __init__(self, access: Access) -> None:
        """Keep whom to believe; keys are fetched when the first token needs them."""
        self._access = access
        self._keys: Keys = {}
        self._asked_at = self._fetched_at = float("-inf")
        self._away_since: float | None = None
        self._fetching = asyncio.Lock()
        self._refreshing: asyncio.Task[None] | None = None

    async def aclose(self) -> None:
        """Leave nothing behind that still asks for keys."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait({self._refreshing})

    def away_seconds(self) -> float:
        """Return for how long the issuer has been asked in vain; 0 if it gave keys the last time.

        It does not begin with the age of the keys: nobody asks at night, and one request that fails
        in the morning is not an issuer that was away for hours.
        """
        return 0.0 if self._away_since is None else time.monotonic() - self._away_since

    async def verify(self, token: str) -> Mapping[str, Any]:
        """Return an access token's claims; raises Problem for whatever is wrong with it."""
        try:
            claims = await self._verified(token, self._access.audience, TYPES)
            if claims["exp"] - claims["iat"] > self._access.token_seconds_max:
                raise Problem(
                    "token_invalid",
                    f"tokens may be valid for {self._access.token_seconds_max} s at most: "
                    "the issuer makes longer ones",
                )
        except _REFUSED as error:
            raise Problem("token_invalid", _said(error)) from error
        return claims

    async def verify_login(self, token: str, *, nonce: str, subject: str) -> None:
        """Check that an ID token was made for this very login; raises Problem."""
        try:
            claims = await self._verified(token, self._access.client_id, ("", "jwt"))
        except _REFUSED as error:
            raise Problem("token_invalid", _said(error)) from error
        if claims.get("nonce") != nonce or claims["sub"] != subject:
            raise Problem("token_invalid", "the issuer's answer belongs to another login")

    async def _verified(self, token: str, audience: str, types: tuple[str, ...]) -> dict[str, Any]:
        if len(token) > TOKEN_BYTES_MAX:
            raise jwt.DecodeError
        header = jwt.get_unverified_header(token)
        algorithm = header.get("alg")
        if algorithm not in ALGORITHMS or "crit" in header:
            raise jwt.InvalidAlgorithmError
        if str(header.get("typ", "")).lower() not in types:
            raise jwt.InvalidTokenError
        key = await self._key(header.get("kid"))
        if key.algorithm_name != algorithm:
            raise jwt.InvalidAlgorithmError
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            issuer=self._access.issuer,
            audience=audience,
            leeway=LEEWAY_SECONDS,
            options={"require": list(REQUIRED)},
        )
        subject = claims["sub"]
        if not 0 < len(subject) <= SUBJECT_CHARACTERS_MAX or not subject.isprintable():
            raise jwt.InvalidTokenError
        return claims

    async def _key(self, kid: object) -> jwt.PyJWK:
        if not isinstance(kid, str):
            raise jwt.InvalidTokenError
        if not self._wanting(kid):
            return self._keys[kid]
        if kid in self._keys and not self._stale():
            # The key is good enough for this token: it does not wait for an issuer that hangs.
            if self._may_ask() and (self._refreshing is None or self._refreshing.done()):
                self._refreshing = asyncio.create_task(self._ask(kid))
            return self._keys[kid]
        await self._ask(kid)
        if self._stale():
            raise Problem("issuer_away", headers={"Retry-After": "5"})
        if kid not in self._keys:
            raise jwt.InvalidTokenError
        return self._keys[kid]

    async def _ask(self, kid: str) -> None:
        """Fetch the keys for one that is wanted, unless somebody just has."""
        async with self._fetching:
            if self._wanting(kid) and self._may_ask():
                await self._refresh()

    def _wanting(self, kid: str) -> bool:
        return kid not in self._keys or self._age_seconds() > KEYS_SECONDS_MAX

    def _age_seconds(self) -> float:
        return time.monotonic() - self._fetched_at if self._keys else 0.0

    def _stale(self) -> bool:
        return self._age_seconds() > STALE_SECONDS_MAX

    def _may_ask(self) -> bool:
        usable = self._keys and not self._stale()
        pause = REFRESH_SECONDS_MIN if usable else RETRY_SECONDS_MIN
        return time.monotonic() - self._asked_at >= pause

    async def _refresh(self) -> None:
        """Fetch the keys; while the issuer is away those that are known go on being taken."""
        self._asked_at = time.monotonic()
        try:
            self._keys = await fetched(self._access.jwks_url)
        except (aiohttp.ClientError, TimeoutError, ValueError, jwt.PyJWTError) as error:
            if self._away_since is None:
                self._away_since = self._asked_at
            if not self._keys:
                raise Problem("issuer_away", headers={"Retry-After": "5"}) from error
            age_seconds = round(self._age_seconds())
            log.warning(
                "issuer_keys_stale", extra={"age_seconds": age_seconds, "error": repr(error)}
            )
        else:
            self._fetched_at, self._away_since = self._asked_at, None


def has_expired(problem: Problem) -> bool:
    """Return whether a token was refused for its age alone: its signature was good."""
    return isinstance(problem.__cause__, jwt.ExpiredSignatureError)


def _said(error: Exception) -> str:
    if isinstance(error, jwt.ExpiredSignatureError):
        return "the token has expired"
    return "the token is not one of ours"
