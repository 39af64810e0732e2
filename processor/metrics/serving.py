"""What `serve` counts: requests."""

from processor.metrics.declare import histogram

REQUEST_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.0, 5.0)

REQUESTS = histogram(
    "request_seconds",
    "Time to answer a request, by route and status.",
    "route",
    "status",
    buckets=REQUEST_SECONDS,
)


def requested(route: str, status: int, seconds: float) -> None:
    """Count a request and how long its answer took."""
    REQUESTS.labels(route, str(status)).observe(seconds)
