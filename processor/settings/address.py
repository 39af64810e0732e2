"""The address in a DSN: where it is, and whether it is the one that was meant."""

import re
from urllib.parse import parse_qs, parse_qsl, urlsplit

_HOST = re.compile(r"(\[[^\]]+\]|[^:\[\]]*)(:\d+)?")
_OPTION = re.compile(r"[\w.]+")
_PORTED, _PORT = re.compile(r":\d+$"), 5432


def address_of(dsn: str) -> str:
    """Return host and port of a DSN that is not misread, and nothing of who logs in.

    Several are separated by commas; a host may be the folder of a socket.
    """
    parts = urlsplit(dsn)
    options = parse_qs(parts.query)
    port = options.get("port", [_PORT])[0]
    hosts = parts.netloc.rpartition("@")[2] or options.get("host", ["localhost"])[0]
    return ",".join(host if _PORTED.search(host) else f"{host}:{port}" for host in hosts.split(","))


def misread(dsn: str) -> bool:
    """Tell whether a part of the password is taken for host, port, database or option.

    The driver would show that part when it complains of it.
    """
    try:
        parts = urlsplit(dsn)
        options = parse_qsl(parts.query, strict_parsing=bool(parts.query))
    except ValueError:
        return True
    login, _, hosts = parts.netloc.rpartition("@")
    known = [
        *(_HOST.fullmatch(host) for host in hosts.split(",")),
        *(_OPTION.fullmatch(name) for name, _ in options),
    ]
    return not all(known) or "@" in login + parts.path or "#" in dsn
