"""The formats of SIEM subscriptions: how an entry reads for other people's systems. Pure.

``reading`` says what of an entry the formats ask for, ``ocsf``, ``ecs`` and ``cef`` are tables of
fields, ``syslog`` is the envelope of CEF. What an action is in each format stands in
``schemas.catalogue``.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from processor.siem import cef, ecs, heartbeat, ocsf
from processor.siem.heartbeat import Heartbeat
from schemas.catalogue import FormatName
from schemas.entry import Entry, render


class Format(NamedTuple):
    """How an entry and a heartbeat are rendered, and what that is called.

    ``gaps_max`` is how many gaps one heartbeat takes: a purged day may have left holes without
    number.
    """

    render: Callable[[Entry], bytes]
    content_type: str
    heartbeat: Callable[[Heartbeat], bytes]
    gaps_max: int = 1_000


FORMATS: Mapping[FormatName, Format] = {
    "hub": Format(render, "application/json", heartbeat.document),
    "ocsf": Format(ocsf.event, "application/json", ocsf.heartbeat),
    "ecs": Format(ecs.document, "application/json", ecs.heartbeat, ecs.GAPS_MAX),
    "cef": Format(cef.line, "text/plain; charset=utf-8", cef.heartbeat, cef.GAPS_MAX),
}
"""By the name that stands in a subscription's topic."""
