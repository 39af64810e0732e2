"""The identifier of an entry: a UUIDv8 (RFC 9562) made of the event's identity alone.

The first 48 bits are the milliseconds of ``occurred_at``, so that an identifier names its day; the
rest is the beginning of a SHA-256 over organization, source and id.
"""

from hashlib import sha256

# The two highest bits of this digit are the variant, 10; the other two stay.
_VARIANT = {f"{digit:x}": f"{digit & 0b0011 | 0b1000:x}" for digit in range(16)}


def entry_id(occurred_ms: int, *identity: str) -> str:
    """Return the identifier; ``identity`` is organization, source and the producer's id.

    Without a producer's id it is organization, raw topic and ``partition:offset``.
    """
    time = f"{occurred_ms:012x}"
    rest = sha256("\0".join(identity).encode()).hexdigest()
    return f"{time[:8]}-{time[8:]}-8{rest[1:4]}-{_VARIANT[rest[4]]}{rest[5:8]}-{rest[8:20]}"
