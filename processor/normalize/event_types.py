"""The dispatch table: every known raw type, its topic's family, contract and rules."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pydantic import ValidationError

from processor.normalize import audit, billing, identity, permission
from processor.normalize.draft import Data, Decision
from schemas.raw import audit as raw_audit
from schemas.raw import billing as raw_billing
from schemas.raw import identity as raw_identity
from schemas.raw import permission as raw_permission
from schemas.rejection import Reason, Rejection, Stage

VERSION = 1
"""The one version there is of every type."""

DETAIL_CHARACTERS_MAX = 512

Rules = Callable[[Data], Decision]


class EventType(NamedTuple):
    """How events of a type are checked and what they become; without rules they are not audited."""

    name: str
    family: str
    validate: Callable[[Any], Any] | None = None
    rules: Rules | None = None
    known: frozenset[str] = frozenset()

    def check(self, data: object) -> Data | Rejection:
        """Return the data if it keeps the contract, else where it does not and what is expected."""
        try:
            checked: Data = self.validate(data) if self.validate else {}
        except ValidationError as error:
            return _invalid(error)
        return checked


def _invalid(error: ValidationError) -> Rejection:
    """Say of the first violation where it is and what was expected, never the value."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    path = "".join(f"[{at}]" if isinstance(at, int) else f".{at}" for at in first["loc"])
    detail = f"$.data{path}: {first['msg']}"
    return Rejection(Stage.NORMALIZE, Reason.INVALID_DATA, detail[:DETAIL_CHARACTERS_MAX])


_RULES: Mapping[str, Rules] = {
    "identity.login.succeeded": identity.login_succeeded,
    "identity.login.failed": identity.login_failed,
    "identity.session.ended": identity.session_ended,
    "identity.user.created": identity.user_created,
    "identity.user.updated": identity.user_updated,
    "identity.user.invited": identity.user_invited,
    "identity.user.deactivated": identity.user_deactivated,
    "identity.user.removed": identity.user_removed,
    "permission.role.created": permission.role_created,
    "permission.role.updated": permission.role_updated,
    "permission.role.deleted": permission.role_deleted,
    "permission.role_binding.changed": permission.role_binding_changed,
    "permission.product_access.changed": permission.product_access_changed,
    "permission.grants.changed": permission.grants_changed,
    "billing.subscription.updated": billing.subscription_updated,
    "billing.payment_method.updated": billing.payment_method_updated,
    "billing.invoice.finalized": billing.invoice_finalized,
    "audit.viewed": audit.viewed,
    "audit.exported": audit.exported,
    "audit.denied": audit.denied,
    "audit.subscription.changed": audit.subscription_changed,
    "audit.finding.acknowledged": audit.finding_acknowledged,
    "audit.retention.purged": audit.retention_purged,
}

_FAMILIES = {
    "identity": raw_identity,
    "permission": raw_permission,
    "billing": raw_billing,
    "audit": raw_audit,
}


def _table() -> dict[str, EventType]:
    types: dict[str, EventType] = {}
    for family, contracts in _FAMILIES.items():
        for name, adapter in contracts.CONTRACTS.items():
            known = frozenset(adapter.json_schema()["properties"])
            check = adapter.validator.validate_python
            types[f"{name}.v{VERSION}"] = EventType(name, family, check, _RULES[name], known)
        for name in contracts.NOT_AUDITED:
            types[f"{name}.v{VERSION}"] = EventType(name, family)
    return types


TYPES: Mapping[str, EventType] = _table()
"""By full type name, with its version suffix."""

NAMES = frozenset(event_type.name for event_type in TYPES.values())
"""The names without suffix, to tell an unknown version from an unknown type."""
