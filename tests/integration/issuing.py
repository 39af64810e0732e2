"""An issuer that the tests see from its side, and who takes its word."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from processor.api.tokens import Verifier
from processor.demo.issuer import Issuer
from processor.local.port import free_port
from processor.settings import Access, Settings


class CountingIssuer(Issuer):
    """An issuer that counts how often it is asked for its keys, and may answer something else."""

    asked = 0
    answer: Response | None = None
    silence: tuple[asyncio.Event, asyncio.Event] | None = None

    async def _jwks(self, request: Request) -> Response:
        self.asked += 1
        if self.silence is not None:
            begun, over = self.silence
            begun.set()
            await over.wait()
        return self.answer or await super()._jwks(request)


@asynccontextmanager
async def counting() -> AsyncIterator[CountingIssuer]:
    """Serve such an issuer for the length of a block."""
    issuer = CountingIssuer(f"http://127.0.0.1:{free_port()}")
    async with issuer.serving():
        yield issuer


def trusting(issuer: Issuer, **access: Any) -> Verifier:
    """Return a verifier that takes the word of an issuer."""
    settings = Settings.load(env=issuer.settings())
    return Verifier(Access.model_validate(settings.access.model_dump() | access))
