"""Whether the address in a DSN is the one that was meant."""

import re
from urllib.parse import parse_qsl, urlsplit

_HOST = re.compile(r"(\[[^\]]+\]|[^:\[\]]*)(:\d+)?")
_OPTION = re.compile(r"[\w.]+")


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
