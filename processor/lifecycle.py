"""From the command line into the event loop and out again: signals, exit codes, garbage."""

import asyncio
import gc
import logging
import signal
from collections.abc import Awaitable, Callable

import uvloop

from processor.errors import HubAuditError, StartRefused

log = logging.getLogger(__name__)

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_REFUSED = 2

GARBAGE_THRESHOLD = 100_000
"""A batch leaves no cycles; the default of 700 scans it again and again, for 15 % of the rate."""

Main = Callable[[asyncio.Event], Awaitable[None]]


def run(main: Main) -> int:
    """Run ``main`` until it ends; SIGTERM and SIGINT set the event it is given.

    Returns the exit code: 0 after a clean end, 2 when the start was refused, 1 for anything else,
    after logging it. A supervisor restarts the process; the protocol makes that safe.
    """
    try:
        uvloop.run(_supervised(main))
    except StartRefused as refused:
        for problem in refused.problems:
            log.error("start_refused", extra={"problem": problem})  # noqa: TRY400 - no trace
        return EXIT_REFUSED
    except HubAuditError as error:
        log.error("ended", extra={"error": str(error)})  # noqa: TRY400 - an outage has no trace
        return EXIT_FAILED
    except (Exception, asyncio.CancelledError):  # nobody cancels ``main``: a bug like others
        log.exception("crashed")
        return EXIT_FAILED
    log.info("stopped")
    return EXIT_OK


async def _supervised(main: Main) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)
    await main(stop)
