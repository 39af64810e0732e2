"""``raw.audit``: what was done to the log becomes entries of the log."""

from processor.normalize.details import differences
from processor.normalize.draft import Data, Decision, Draft, Places, present, target_of
from schemas.entry import Target

_LOG: Target = {"type": "audit_log"}
_NOWHERE: Places = {}
_SUBSCRIPTION: Places = {
    "$.target": "$.data.subscription",
    "$.details.old": "$.data.before",
    "$.details.new": "$.data.after",
}
_FINDING: Places = {"$.target": "$.data.finding"}


def viewed(_data: Data) -> Decision:
    """Return a reading of the log."""
    return Draft("audit.viewed", _LOG, _NOWHERE)


def exported(_data: Data) -> Decision:
    """Return an export of the log."""
    return Draft("audit.exported", _LOG, _NOWHERE)


def denied(_data: Data) -> Decision:
    """Return a refused access; what was asked stands in fields of its own."""
    return Draft("audit.denied", _LOG, _NOWHERE)


def subscription_changed(data: Data) -> Decision:
    """Return a subscription created (no before), deleted (no after) or changed.

    Where nothing differs it is an entry all the same: what is done to the log is in the log.
    """
    old, new = differences(data.get("before") or {}, data.get("after") or {})
    target = target_of("subscription", present(data["subscription"], "id", "name"))
    return Draft("audit.subscription_changed", target, _SUBSCRIPTION, old, new)


def finding_acknowledged(data: Data) -> Decision:
    """Return a finding that somebody took note of."""
    target = target_of("finding", present(data["finding"], "id"))
    return Draft("audit.finding_acknowledged", target, _FINDING)


def retention_purged(_data: Data) -> Decision:
    """Return a day that went by the retention."""
    return Draft("audit.retention_purged", _LOG, _NOWHERE)
