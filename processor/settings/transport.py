"""What of the settings would let somebody on the way listen in, or pretend to be a server."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

HERE = ("localhost", "127.", "[::1]", "::1", "/")
"""How the name of a host begins that is this machine itself; a slash begins a socket's path."""

VERIFYING = ("verify-full", "verify-ca")
MODES = ("disable", "allow", "prefer", "require", *VERIFYING)
FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")


def far(hosts: str) -> list[str]:
    """Return those hosts of a list ``host:port,host:port`` that are not this machine."""
    return [host for host in hosts.split(",") if host and not host.startswith(HERE)]


def exposed_bus(bootstrap_servers: str, security_protocol: str) -> str:
    """Return what is wrong with the way to the bus, nothing when all is well."""
    if security_protocol.endswith("SSL") or not (hosts := far(bootstrap_servers)):
        return ""
    return f"what goes to Kafka at {hosts[0]} can be read on the way"


def exposed_store(dsn: str) -> str:
    """Return what is wrong with the way to the store, nothing when all is well."""
    address, options = urlsplit(dsn), _options(dsn)
    given = [*address.netloc.rpartition("@")[2].split(","), *options.get("host", "").split(",")]
    mode = options.get("sslmode", "prefer")
    if mode in VERIFYING or not (hosts := far(",".join(given))):
        return ""
    if mode == "require":
        return f"who answers as Postgres at {hosts[0]} is not verified"
    return f"what goes to Postgres at {hosts[0]} can be read on the way"


def tls_problems(dsn: str) -> Iterator[str]:
    """Yield what cannot be meant in the TLS options of a DSN."""
    options = _options(dsn)
    mode = options.get("sslmode", "prefer")
    if mode not in MODES:
        yield f"sslmode is one of {', '.join(MODES)}"
    if mode in VERIFYING and "sslrootcert" not in options:
        yield f"sslmode={mode} needs sslrootcert, the file of the authority that is trusted"
    for name in FILES:
        if name in options and not Path(options[name]).is_file():
            yield f"{name}: there is no file {options[name]}"


def _options(dsn: str) -> dict[str, str]:
    return {name: values[-1] for name, values in parse_qs(urlsplit(dsn).query).items()}
