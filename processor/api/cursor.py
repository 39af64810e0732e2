"""Cursors: a place in the newest-first order, signed, for one organization and filter alone."""

import base64
import binascii
import hmac
import secrets
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import UUID

from processor.api.problems import Problem
from processor.store.search import Key

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SIGNATURE_BYTES = 16
_PLACE_BYTES = 8 + 16


class Cursors:
    """Makes and reads cursors with a secret that all instances share."""

    def __init__(self, secret: str | None) -> None:
        """Take the secret; without one, cursors live as long as this process."""
        self._secret = secret.encode() if secret else secrets.token_bytes(32)

    def made(self, org_id: str, filter_text: str, key: Key) -> str:
        """Return the cursor of a place."""
        elapsed = (key.occurred_at - _EPOCH) // _MICROSECOND
        place = elapsed.to_bytes(8, "big", signed=True) + key.entry_id.bytes
        signed = self._signature(org_id, filter_text, place) + place
        return base64.urlsafe_b64encode(signed).decode().rstrip("=")

    def read(self, org_id: str, filter_text: str, cursor: str) -> Key:
        """Return the place; raises Problem for a cursor of another organization or filter."""
        try:
            signed = base64.b64decode(
                cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True
            )
        except (binascii.Error, ValueError) as error:
            raise Problem("cursor_invalid") from error
        signature, place = signed[:_SIGNATURE_BYTES], signed[_SIGNATURE_BYTES:]
        right = self._signature(org_id, filter_text, place)
        if len(place) != _PLACE_BYTES or not hmac.compare_digest(signature, right):
            raise Problem("cursor_invalid", "the cursor belongs to another filter")
        elapsed = int.from_bytes(place[:8], "big", signed=True)
        return Key(_EPOCH + elapsed * _MICROSECOND, UUID(bytes=place[8:]))

    def digest(self, org_id: str, text: str) -> str:
        """Return what stands for a text in an organization's log, without giving it away."""
        keyed = hmac.new(self._secret, f"term\0{org_id}\0{text}".encode(), sha256)
        return keyed.hexdigest()[:_SIGNATURE_BYTES]

    def _signature(self, org_id: str, filter_text: str, place: bytes) -> bytes:
        bound = b"\0".join((b"cursor", org_id.encode(), filter_text.encode(), place))
        return hmac.new(self._secret, bound, sha256).digest()[:_SIGNATURE_BYTES]
