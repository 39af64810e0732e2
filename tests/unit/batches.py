"""Batches as producers send them: of any codec, with any bytes for names, or damaged."""

import struct
from collections.abc import Sequence

from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
Headers = Sequence[tuple[str, bytes | None]]


class Name(str):
    """A header's name that is no text."""

    __slots__ = ()

    def encode(self, encoding: str = "utf-8", _errors: str = "") -> bytes:
        """Return bytes that are no UTF-8."""
        return b"\xff" + super().encode(encoding)


def builder(codec: int = 0) -> _DefaultRecordBatchBuilderPy:
    """Return the client's own builder, the one that takes such names."""
    return _DefaultRecordBatchBuilderPy(2, codec, 0, -1, -1, -1, 2**30)


def batch(base: int, *values: bytes, codec: int = 0, headers: Headers = ()) -> bytes:
    """Return a batch of records from an offset on."""
    building = builder(codec)
    for delta, value in enumerate(values):
        building.append(delta, 1, b"acme", value, list(headers))
    built = bytearray(building.build())
    struct.pack_into(">q", built, 0, base)
    return bytes(built)


def damaged(whole: bytes) -> bytes:
    """Return a batch of which the last bit has changed on its way."""
    return whole[:-1] + bytes([whole[-1] ^ 1])
