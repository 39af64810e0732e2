"""Answers that come bit by bit: nobody may take the beginning of one for the whole."""

from contextlib import suppress

from starlette.responses import StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_BROKEN = "stream_broken"


class CutOff(Exception):
    """An outage ended an answer before its end."""


class Stream(StreamingResponse):
    """An answer that breaks off where what makes it does."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; note in the request's state when it is not all there."""
        try:
            await super().__call__(scope, receive, send)
        except BaseException:
            scope["state"][_BROKEN] = True
            raise


class Breaking:
    """Leaves a broken stream without its end, so that the server closes the connection.

    What stands between, and sees answers as a whole, would end one properly that broke off. After
    an outage that is all: it is no bug, of which the server would show where it happened.
    """

    def __init__(self, app: ASGIApp) -> None:
        """Keep who answers."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""

        async def unless_broken(message: Message) -> None:
            """Send what is part of an answer, and the end of those that have one."""
            if not scope["state"].get(_BROKEN):
                await send(message)

        with suppress(CutOff):
            await self._app(scope, receive, send if scope["type"] != "http" else unless_broken)
