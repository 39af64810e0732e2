"""The demo's SIEM: acme's entries in OCSF, ordered as its Owner would order them."""

from processor.demo.history import ACME
from processor.errors import BusOutage
from processor.forward.control import AlreadySubscribed, Control
from processor.settings import Settings
from schemas.catalogue import FormatName
from schemas.subscription import Filter

FORMAT: FormatName = "ocsf"
OWNER = {"type": "user", "email": "olivia@acme.example", "name": "Olivia Owner"}
TRIES_MAX = 5
"""A broker that has just started takes longer for its first answers than an order waits."""


async def subscribe_siem(settings: Settings) -> None:
    """Subscribe acme, unless an earlier demo did."""
    for tries in range(1, TRIES_MAX + 1):
        try:
            async with Control.opened(settings, OWNER) as control:
                await control.create(ACME.id, FORMAT, Filter())
        except AlreadySubscribed:
            return
        except BusOutage:
            if tries == TRIES_MAX:
                raise
        else:
            return
