"""Free ports for servers of ours."""

import random
import socket

# Below the range from which the kernel takes the near ends of connections (32768 and up on Linux,
# 49152 and up elsewhere): a port in it may be taken while its server is down for a restart, and a
# client that keeps knocking there can even connect to itself.
FIRST, LAST = 20_000, 32_000
TRIES = 200

_given: set[int] = set()
"""What this process was given already: a server may take two before it listens on either."""


def free_port() -> int:
    """Return a port of the loopback address that nothing listens on, another one each time."""
    chance = random.SystemRandom()
    for _ in range(TRIES):
        port = chance.randint(FIRST, LAST)
        if port in _given:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if probe.connect_ex(("127.0.0.1", port)) != 0 and bindable(port):
                _given.add(port)
                return port
    raise OSError(f"no free port between {FIRST} and {LAST}")


def bindable(port: int) -> bool:
    """Return whether a server could listen on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
