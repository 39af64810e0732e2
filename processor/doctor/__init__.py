"""What has to be there and in order: asked before a start, and by ``hub-audit doctor`` at any time.

Nothing is changed by asking. Every problem says what to do about it.
"""

import asyncio

from processor.doctor import bus, here, readers, store
from processor.doctor.findings import COLORS, Finding, Level, lines
from processor.settings import Settings

__all__ = ["COLORS", "Finding", "Level", "examine", "lines", "preflight"]


async def preflight(settings: Settings) -> list[str]:
    """Return everything that speaks against starting a worker, each with what to do about it.

    Where nothing does, the database is made this environment's and group's if it was nobody's.
    """
    of_bus, of_store = await asyncio.gather(bus.of_topics(settings), store.preflight(settings))
    return [
        f"{finding.said}: {finding.fix}" if finding.fix else finding.said
        for finding in [*of_bus, *of_store]
        if finding.level is Level.PROBLEM
    ]


async def examine(settings: Settings) -> list[Finding]:
    """Return the state of everything that the processes depend on."""
    of_topics = await bus.of_topics(settings)
    reached = not any(finding.check == bus.KAFKA for finding in of_topics)
    sound = not any(finding.level is Level.PROBLEM for finding in of_topics)
    return [
        here.versions(),
        *here.encryption(settings),
        *of_topics,
        *(await bus.of_transactions(settings) if reached else ()),
        *(await bus.of_clock(settings) if sound else ()),
        *await store.examine(settings, bus_reached=reached),
        *await readers.examine(settings),
        await here.port(settings.http),
    ]
