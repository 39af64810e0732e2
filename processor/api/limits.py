"""How often one client may ask: a bucket of tokens each, in a table that does not grow."""

import time
from collections import OrderedDict

from processor.api.problems import Problem

CLIENTS_MAX = 20_000


class Limits:
    """Lets a burst pass, and then so many requests a second."""

    def __init__(self, requests_per_second: float, burst: int) -> None:
        """Keep the limits; every client begins with a full bucket."""
        self._rate, self._burst = requests_per_second, float(burst)
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str) -> None:
        """Take one token from a client's bucket; raises Problem when it is empty."""
        now = time.monotonic()
        left, at = self._buckets.pop(client, (self._burst, now))
        left = min(self._burst, left + (now - at) * self._rate)
        self._buckets[client] = max(0.0, left - 1), now
        if len(self._buckets) > CLIENTS_MAX:
            self._buckets.popitem(last=False)
        if left < 1:
            wait = max(1, round((1 - left) / self._rate))
            raise Problem("too_many_requests", headers={"Retry-After": str(wait)})
