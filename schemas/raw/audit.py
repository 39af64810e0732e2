"""Topic ``raw.audit``: Hub Audit's own events, the log of the log."""

from typing import Any, NotRequired

from pydantic import TypeAdapter, with_config
from typing_extensions import TypedDict

from schemas.raw.shared import CONTRACT, Common, Contracts, JsonObject, Text


@with_config(CONTRACT)
class Viewed(Common):
    """Somebody read the log; free text in the filter is hashed."""

    filter: NotRequired[Any]
    rows: NotRequired[int | None]


@with_config(CONTRACT)
class Exported(Common):
    """Somebody took the log away."""

    filter: NotRequired[Any]
    format: NotRequired[Text]
    rows: NotRequired[int | None]


@with_config(CONTRACT)
class Denied(Common):
    """Somebody was refused."""


@with_config(CONTRACT)
class Identified(TypedDict):
    """A thing of which only the id matters."""

    id: str


@with_config(CONTRACT)
class SubscriptionChanged(Common):
    """A SIEM subscription was created, changed or deleted."""

    subscription: Identified
    before: NotRequired[JsonObject | None]
    after: NotRequired[JsonObject | None]


@with_config(CONTRACT)
class Finding(TypedDict):
    """What Defend found."""

    id: str
    rule: NotRequired[Text]


@with_config(CONTRACT)
class FindingAcknowledged(Common):
    """Somebody took note of a finding."""

    finding: Finding


@with_config(CONTRACT)
class RetentionPurged(Common):
    """A day went by the retention."""

    day: str
    rows: NotRequired[int | None]


CONTRACTS: Contracts = {
    "audit.viewed": TypeAdapter(Viewed),
    "audit.exported": TypeAdapter(Exported),
    "audit.denied": TypeAdapter(Denied),
    "audit.subscription.changed": TypeAdapter(SubscriptionChanged),
    "audit.finding.acknowledged": TypeAdapter(FindingAcknowledged),
    "audit.retention.purged": TypeAdapter(RetentionPurged),
}

NOT_AUDITED: frozenset[str] = frozenset()
"""None: whatever is done to the log is in the log."""
