"""How much a request may bring, and how long that may take.

Bodies are read before it is known who asks, so that nobody is taken more from.
"""

import asyncio

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_BYTES_MAX = 65_536
"""Many times the largest form or filter: what all fields may hold together is some 20,000."""

BODY_SECONDS_MAX = 30.0
"""Time for that much over a line of 20 kbit/s; who sends a byte a minute keeps a connection."""

TOO_LARGE, TOO_SLOW = 413, 408


class Bounded:
    """Refuses a body that says it is too large, that becomes too large, or that does not come.

    These are the framework's own exceptions, since it takes every other one in the midst of a body
    for a body that cannot be understood.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Keep who answers."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer; raises HTTPException."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # The server lets no length through that is no number.
        if int(Headers(scope=scope).get("content-length", "0")) > BODY_BYTES_MAX:
            raise HTTPException(TOO_LARGE)
        clock = asyncio.get_running_loop().time
        size, more, deadline = 0, True, clock() + BODY_SECONDS_MAX

        async def bounded() -> Message:
            """Receive the next piece; behind the last one there is only that the client leaves."""
            nonlocal size, more
            try:
                async with asyncio.timeout_at(deadline if more else None):
                    message = await receive()
            except TimeoutError as error:
                raise HTTPException(TOO_SLOW) from error
            size += len(message.get("body", b""))
            more = more and message.get("more_body", False)
            if size > BODY_BYTES_MAX:
                raise HTTPException(TOO_LARGE)
            return message

        await self._app(scope, bounded, send)
