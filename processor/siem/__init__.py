"""The formats of SIEM subscriptions: how an entry reads for other people's systems. Pure."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from schemas.catalogue import FormatName
from schemas.entry import Entry, render


class Format(NamedTuple):
    """How an entry is rendered, and what that is called."""

    render: Callable[[Entry], bytes]
    content_type: str


FORMATS: Mapping[FormatName, Format] = {"hub": Format(render, "application/json")}
"""By the name that stands in a subscription's topic."""
