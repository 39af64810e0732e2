"""``raw.audit``: what was done to the log becomes entries of the log."""

from processor.normalize.details import differences
from processor.normalize.draft import NO_CHANGE, Data, Decision, Draft, present, target_of, unknown
from schemas.entry import Target

LOG: Target = {"type": "audit_log"}


def viewed(data: Data) -> Decision:
    """Return a reading of the log."""
    return Draft("audit.viewed", LOG, extra=present(data, "filter", "rows"))


def exported(data: Data) -> Decision:
    """Return an export of the log."""
    return Draft("audit.exported", LOG, extra=present(data, "filter", "format", "rows"))


def denied(_data: Data) -> Decision:
    """Return a refused access; what was asked stands in fields of its own."""
    return Draft("audit.denied", LOG)


def subscription_changed(data: Data) -> Decision:
    """Return a subscription created (no before), deleted (no after) or changed."""
    old, new = differences(data.get("before") or {}, data.get("after") or {})
    if not old and not new:
        return NO_CHANGE
    subscription = data["subscription"]
    return Draft(
        "audit.subscription_changed",
        target_of("subscription", present(subscription, "id", "name")),
        old=old,
        new=new,
        extra={"subscription": unknown(subscription, "id", "name")},
    )


def finding_acknowledged(data: Data) -> Decision:
    """Return a finding that somebody took note of."""
    finding = data["finding"]
    target = target_of("finding", present(finding, "id"))
    return Draft("audit.finding_acknowledged", target, extra={"finding": unknown(finding, "id")})


def retention_purged(data: Data) -> Decision:
    """Return a day that went by the retention."""
    return Draft("audit.retention_purged", LOG, extra=present(data, "day", "rows"))
