"""The issuer's keys, fetched from the one address that is set."""

from collections.abc import Mapping

import aiohttp
import jwt

ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
FETCH_SECONDS_MAX = 5.0
JWKS_BYTES_MAX = 65_536

Keys = Mapping[str, jwt.PyJWK]


async def fetched(url: str) -> Keys:
    """Return the issuer's keys that are for signatures; no redirect leads to others.

    Raises what the client, the parser or the time-out raise.
    """
    timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS_MAX)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.get(url, allow_redirects=False) as answer,
    ):
        if answer.status != 200:  # noqa: PLR2004 - HTTP's own number
            raise ValueError(answer.status)
        text = bytearray()
        async for chunk in answer.content.iter_chunked(JWKS_BYTES_MAX):
            text += chunk
            if len(text) > JWKS_BYTES_MAX:
                raise ValueError("too long for a set of keys")
    try:
        return _usable(jwt.PyJWKSet.from_json(text.decode()))
    except (AttributeError, TypeError, RecursionError) as error:
        # The library takes for granted that it is given an object, and none that is too deep.
        raise ValueError("no set of keys") from error


def _usable(found: jwt.PyJWKSet) -> Keys:
    return {
        key.key_id: key
        for key in found.keys
        if key.key_id and key.public_key_use != "enc" and key.algorithm_name in ALGORITHMS
    }
