"""What is asked for those who read: the issuer's keys, and what instances have to share."""

import aiohttp
import jwt

from processor.doctor.findings import Finding, ok, problem, warning
from processor.jwks import fetched
from processor.settings import Access, Settings


async def examine(settings: Settings) -> list[Finding]:
    """Check what `serve` depends on beside the store and the bus."""
    return [await _keys(settings.access), _cursors(settings)]


async def _keys(access: Access) -> Finding:
    if not (access.issuer and access.jwks_url):
        return ok("issuer's keys", "no issuer is set, which `serve` alone needs")
    try:
        keys = await fetched(access.jwks_url)
    except (aiohttp.ClientError, TimeoutError, ValueError, jwt.PyJWTError) as error:
        said = f"{access.jwks_url} gives no keys ({type(error).__name__})"
        return problem("issuer's keys", said, "check HUB_AUDIT_ACCESS_JWKS_URL and the issuer")
    if not keys:
        said = f"{access.jwks_url} has no key for signatures that is taken"
        fix = "have the issuer publish one for RS256, PS256, ES256 or EdDSA, with a key id"
        return problem("issuer's keys", said, fix)
    return ok("issuer's keys", f"{len(keys)} at {access.jwks_url}")


def _cursors(settings: Settings) -> Finding:
    if settings.serve.cursor_secret is None and settings.access.issuer:
        said = "none is set: places in a search end with the process that made them"
        fix = "set HUB_AUDIT_SERVE_CURSOR_SECRET, the same for every `serve`"
        return warning("cursor secret", said, fix)
    return ok("cursor secret", "is set" if settings.serve.cursor_secret else "not needed here")
