"""The dispatch table: every known raw type, its topic's family, contract and rules."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

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

Members: TypeAlias = frozenset[str]

_NO_OBJECTS: dict[str, Members] = {}


class Rules(NamedTuple):
    """What events of a type become, and which of their fields have no other place than ``extra``.

    ``objects`` names the objects inside data that have a place of their own, with the members that
    are part of it; whatever else they hold goes to ``extra.<object>``.
    """

    decide: Callable[[Data], Decision]
    extra: tuple[str, ...] = ()
    objects: dict[str, Members] = _NO_OBJECTS


class EventType(NamedTuple):
    """How events of a type are checked, and its rules; without ``decide`` they are not audited.

    ``fields`` are the fields of data that its contract knows.
    """

    name: str
    family: str
    validate: Callable[[Any], Any] | None = None
    fields: frozenset[str] = frozenset()
    decide: Callable[[Data], Decision] | None = None
    extra: tuple[str, ...] = ()
    objects: dict[str, Members] = _NO_OBJECTS

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


_NAMED = frozenset({"id", "name"})
_ADDRESSED = frozenset({"id", "name", "email"})
_PRINCIPAL = frozenset({"type", "id", "name", "email"})
_INVITED = frozenset({"id", "email", "role", "expires_at"})

_LOGIN_FIELDS = ("method", "mfa", "idp", "new_device")
_BINDING_OBJECTS = {"user": _ADDRESSED, "role": _NAMED}
_ACCESS_OBJECTS = {"product": _NAMED, "grantee": _PRINCIPAL}

_RULES: dict[str, Rules] = {
    "identity.login.succeeded": Rules(identity.login_succeeded, _LOGIN_FIELDS),
    "identity.login.failed": Rules(identity.login_failed, ("method", "attempt")),
    "identity.session.ended": Rules(identity.session_ended, ("started_at",)),
    "identity.user.created": Rules(identity.user_created),
    "identity.user.updated": Rules(identity.user_updated, objects={"user": _ADDRESSED}),
    "identity.user.invited": Rules(identity.user_invited, objects={"invitation": _INVITED}),
    "identity.user.deactivated": Rules(identity.user_deactivated, objects={"user": _ADDRESSED}),
    "identity.user.removed": Rules(identity.user_removed),
    "permission.role.created": Rules(permission.role_created),
    "permission.role.updated": Rules(permission.role_updated, objects={"role": _NAMED}),
    "permission.role.deleted": Rules(permission.role_deleted),
    "permission.role_binding.changed": Rules(
        permission.role_binding_changed, objects=_BINDING_OBJECTS
    ),
    "permission.product_access.changed": Rules(
        permission.product_access_changed, objects=_ACCESS_OBJECTS
    ),
    "permission.grants.changed": Rules(
        permission.grants_changed, ("bulk",), {"target": _PRINCIPAL}
    ),
    "billing.subscription.updated": Rules(billing.subscription_updated, ("subscription",)),
    "billing.payment_method.updated": Rules(billing.payment_method_updated),
    "billing.invoice.finalized": Rules(billing.invoice_finalized),
    "audit.viewed": Rules(audit.viewed, ("filter", "rows")),
    "audit.exported": Rules(audit.exported, ("filter", "format", "rows")),
    "audit.denied": Rules(audit.denied),
    "audit.subscription.changed": Rules(
        audit.subscription_changed, objects={"subscription": _NAMED}
    ),
    "audit.finding.acknowledged": Rules(
        audit.finding_acknowledged, objects={"finding": frozenset({"id"})}
    ),
    "audit.retention.purged": Rules(audit.retention_purged, ("day", "rows")),
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
            fields = frozenset(adapter.json_schema()["properties"])
            validate = adapter.validator.validate_python
            types[f"{name}.v{VERSION}"] = EventType(name, family, validate, fields, *_RULES[name])
        for name in contracts.NOT_AUDITED:
            types[f"{name}.v{VERSION}"] = EventType(name, family)
    return types


TYPES: dict[str, EventType] = _table()
"""By full type name, with its version suffix."""

NAMES = frozenset(event_type.name for event_type in TYPES.values())
"""The names without suffix, to tell an unknown version from an unknown type."""
