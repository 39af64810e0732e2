"""Network addresses as upstream services write them."""

import re
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple

OCTETS = 4
PORT_MAX = 65_535
RAW_CHARACTERS_MAX = 256
"""Of what is kept as it came; nothing longer is an address."""

_V4_PORT = re.compile(r"(\d+\.\d+\.\d+\.\d+):(\d{1,5})", re.ASCII)
_V6_PORT = re.compile(r"\[([^\]]*:[^\]]*)\](?::(\d{1,5}))?", re.ASCII)
_OCTETS = frozenset(map(str, range(256)))


class Address(NamedTuple):
    """An address and its port; or, when it is no address, what was sent."""

    ip: str | None
    port: int | None = None
    raw: str | None = None


def parse(text: str) -> Address:
    """Split ``address:port`` and ``[v6]:port``; whatever is no address is kept as it came."""
    parts = text.split(".")  # reading the usual kind is quicker than finding it in a cache
    if len(parts) == OCTETS and _OCTETS.issuperset(parts):
        return Address(text)
    return _parse_unusual(text)


def _parse_unusual(text: str) -> Address:
    if len(text) > RAW_CHARACTERS_MAX:
        return Address(None, raw=text[:RAW_CHARACTERS_MAX])
    match = _V4_PORT.fullmatch(text) or _V6_PORT.fullmatch(text)
    host, port = match.groups() if match else (text, None)
    try:
        address = ip_address(host.partition("%")[0] if ":" in host else host)
    except ValueError:
        return Address(None, raw=text)
    if port is not None and int(port) > PORT_MAX:
        return Address(None, raw=text)
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return Address(str(address), None if port is None else int(port))
