"""The group's committed offsets, asked for in the protocol's own bytes.

librdkafka's Python binding gives the metadata as a C string that is not always ended: seen are
batch numbers with foreign bytes behind them. So this one request is written by hand.
"""

import socket
import struct
import time

from tests.faults.world import Place

OFFSET_FETCH, VERSION = 9, 3
TRIES, PAUSE_SECONDS = 100, 0.2


class Answer:
    """Bytes of an answer, read from the front."""

    def __init__(self, data: bytes) -> None:
        """Begin at the first byte."""
        self._data = data
        self._at = 0

    def number(self, form: str) -> int:
        """Return the next number, of the struct form that is named."""
        (value,) = struct.unpack_from(">" + form, self._data, self._at)
        self._at += struct.calcsize(">" + form)
        return int(value)

    def text(self) -> str:
        """Return the next text; an absent one is empty."""
        size = max(0, self.number("h"))
        self._at += size
        return self._data[self._at - size : self._at].decode()


def committed(bootstrap: str, group: str, where: list[Place]) -> dict[Place, tuple[int, str]]:
    """Return offset and metadata by partition; -1 where the group has committed nothing."""
    for _ in range(TRIES):
        answer = Answer(_ask(bootstrap, _request(group, where)))
        answer.number("i")  # correlation
        answer.number("i")  # throttled
        found = {}
        for _topic in range(answer.number("i")):
            topic = answer.text()
            for _partition in range(answer.number("i")):
                partition, offset = answer.number("i"), answer.number("q")
                found[topic, partition] = offset, answer.text()
                answer.number("h")  # error
        if not answer.number("h") and len(found) == len(where):
            return found
        time.sleep(PAUSE_SECONDS)  # the coordinator is loading
    raise TimeoutError(f"no committed offsets of {group}")


def _request(group: str, where: list[Place]) -> bytes:
    topics: dict[str, list[int]] = {}
    for topic, partition in where:
        topics.setdefault(topic, []).append(partition)
    body = struct.pack(">hhi", OFFSET_FETCH, VERSION, 1) + _text("oracle") + _text(group)
    body += struct.pack(">i", len(topics))
    for topic, partitions in topics.items():
        body += _text(topic) + struct.pack(f">i{len(partitions)}i", len(partitions), *partitions)
    return struct.pack(">i", len(body)) + body


def _text(value: str) -> bytes:
    return struct.pack(">h", len(value)) + value.encode()


def _ask(bootstrap: str, request: bytes) -> bytes:
    host, port = bootstrap.split(",", maxsplit=1)[0].rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(request)
        stream = connection.makefile("rb")
        (size,) = struct.unpack(">i", stream.read(4))
        return stream.read(size)
