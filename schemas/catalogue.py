"""The catalogue: one table of every action, with its category, topic, target and SIEM columns.

Code, JSON Schema, AsyncAPI and documentation read this table, so that none can drift from another.
A topic is a pure function of its action: ``hub.<family>.<name>``. The three ``permission.*``
actions share one topic, which makes 20 canonical topics of 22 actions; Hub Audit's own six
``audit.*`` actions stand beside them.
"""

from typing import Literal, NamedTuple

Category = Literal[
    "authentication", "users", "roles", "product_access", "permissions", "billing", "audit"
]
Outcome = Literal["success", "failure"]
Syslog = Literal["info", "notice", "warning"]

FormatName = Literal["hub", "ocsf", "ecs", "cef"]
"""What SIEMs get: the entry as Hub renders it, OCSF, ECS, or CEF in an RFC 5424 message."""

CATEGORY_LABELS: dict[str, str] = {
    "authentication": "Authentication",
    "users": "Users",
    "roles": "Roles",
    "product_access": "Product Access",
    "permissions": "Permissions",
    "billing": "Billing",
    "audit": "Audit Log",
}
"""What a category is called on the page, in the page's order."""

DEAD_LETTER_TOPIC = "hub.audit.dead_letters"
"""Where rejected records go; the canonical family's name, but its records are raw bytes."""

OCSF_CATEGORIES = {3: "Identity & Access Management", 6: "Application Activity"}
"""What OCSF calls its categories, those used here."""

OCSF_CLASSES: dict[int, tuple[str, dict[int, str]]] = {
    3001: ("Account Change", {1: "Create", 5: "Disable", 6: "Delete", 99: "Other"}),
    3002: ("Authentication", {1: "Logon", 2: "Logoff"}),
    3004: ("Entity Management", {1: "Create", 3: "Update", 4: "Delete"}),
    3005: (
        "User Access Management",
        {1: "Assign Privileges", 2: "Revoke Privileges", 99: "Other"},
    ),
    6003: ("API Activity", {2: "Read", 3: "Update", 4: "Delete"}),
}
"""What OCSF 1.8.0 calls its classes and their activities, those used here."""

OCSF_SEVERITIES = {1: "Informational", 2: "Low", 3: "Medium", 4: "High"}
"""What OCSF calls its severities, those used here."""

_OCSF_SEVERITY_BY_CEF = (1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 4)


class OcsfClass(NamedTuple):
    """A class and an activity of one release of OCSF."""

    class_uid: int
    activity_id: int

    @property
    def type_uid(self) -> int:
        """The id of this activity of this class."""
        return self.class_uid * 100 + self.activity_id

    @property
    def category_uid(self) -> int:
        """The category is the class's thousands: 3 Identity & Access, 6 Application Activity."""
        return self.class_uid // 1000


class Ocsf(NamedTuple):
    """Where an action stands in OCSF; ``entity`` names the thing where the class is generic."""

    v1_8: OcsfClass
    v1_9: OcsfClass
    activity_name: str | None = None
    entity: str | None = None


class Ecs(NamedTuple):
    """``event.category`` and ``event.type`` of the Elastic Common Schema."""

    category: tuple[str, ...]
    type: tuple[str, ...]


class Mapping(NamedTuple):
    """The OCSF and ECS columns of an action."""

    ocsf: Ocsf
    ecs: Ecs


class Action(NamedTuple):
    """One row of the catalogue.

    ``severity`` is the CEF column of a success; ``label`` is the CEF name. ``role_mapping`` holds
    the OCSF and ECS columns where it was a role, not a user, that got or lost something.
    """

    name: str
    category: Category
    topic: str
    targets: tuple[str, ...]
    label: str
    severity: int
    syslog: Syslog
    mapping: Mapping
    role_mapping: Mapping | None = None

    @property
    def failure_severity(self) -> int:
        """Severity when the outcome is a failure: one more for ``hub.iam.*`` actions."""
        return self.severity + self.topic.startswith("hub.iam.")

    def severity_of(self, outcome: str) -> int:
        """Return the severity of an entry of this action with this outcome."""
        return self.failure_severity if outcome == "failure" else self.severity

    def mapping_of(self, holder_type: str) -> Mapping:
        """Return the OCSF and ECS columns where this type of thing got or lost something."""
        if self.role_mapping is not None and holder_type == "role":
            return self.role_mapping
        return self.mapping

    @property
    def msgid(self) -> str:
        """RFC 5424 MSGID, 32 characters at most: the action, for the longest topic is too long."""
        return self.name


def ocsf_severity(severity: int) -> int:
    """Return the OCSF ``severity_id`` of a CEF severity from 0 to 10."""
    return _OCSF_SEVERITY_BY_CEF[severity]


def _ocsf(
    v1_8: tuple[int, int],
    v1_9: tuple[int, int] | None = None,
    *,
    activity: str | None = None,
    entity: str | None = None,
) -> Ocsf:
    return Ocsf(OcsfClass(*v1_8), OcsfClass(*(v1_9 or v1_8)), activity, entity)


def _iam(ocsf: Ocsf, *types: str) -> Mapping:
    return Mapping(ocsf, Ecs(("iam",), types))


def _login(categories: tuple[str, ...], activity: int, event_type: str) -> Mapping:
    return Mapping(_ocsf((3002, activity)), Ecs(categories, (event_type,)))


def _user(v1_8: tuple[int, int], v1_9: tuple[int, int], *types: str) -> Mapping:
    # 3001 has no Update: the one user row in the generic class 3004 has to name its entity.
    entity = "User" if v1_8[0] == _ENTITY else None
    activity = "Invite" if v1_8[1] == _OTHER else None
    return _iam(_ocsf(v1_8, v1_9, entity=entity, activity=activity), "user", *types)


def _role(v1_8: tuple[int, int], v1_9: tuple[int, int], event_type: str) -> Mapping:
    return _iam(_ocsf(v1_8, v1_9, entity="Role"), "admin", event_type)


def _access(activity: int, v1_9: int, name: str | None = None) -> Mapping:
    return _iam(_ocsf((3005, activity), (3007, v1_9), activity=name), "user", "change")


def _billing(activity: int, entity: str, event_type: str) -> Mapping:
    return Mapping(
        _ocsf((_ENTITY, activity), entity=entity), Ecs(("configuration",), (event_type,))
    )


def _own(activity: int, event_type: str) -> Mapping:
    return Mapping(_ocsf((6003, activity)), Ecs(("configuration",), (event_type,)))


_ENTITY = 3004
_OTHER = 99
_USER = ("user",)
_ROLE = ("role",)
_EITHER = ("user", "role")
_LOG = ("audit_log",)
_AUTHENTICATION = ("authentication",)
_SESSION = ("session",)

# fmt: off
_ROWS = (
    Action("auth.login_success", "authentication", "hub.auth.login_success", _USER,
           "Login succeeded", 2, "info", _login(_AUTHENTICATION, 1, "start")),
    Action("auth.login_failed", "authentication", "hub.auth.login_failed", _USER,
           "Login failed", 5, "warning", _login(_AUTHENTICATION, 1, "start")),
    Action("auth.logout", "authentication", "hub.auth.logout", _SESSION,
           "Logout", 1, "info", _login(("authentication", "session"), 2, "end")),
    Action("auth.session_expired", "authentication", "hub.auth.session_expired", _SESSION,
           "Session expired", 1, "info", _login(_SESSION, 2, "end")),

    Action("user.created", "users", "hub.iam.user_created", _USER,
           "User created", 4, "notice", _user((3001, 1), (3007, 1), "creation")),
    Action("user.updated", "users", "hub.iam.user_updated", _USER,
           "User updated", 3, "info", _user((3004, 3), (3007, 2), "change")),
    Action("user.invited", "users", "hub.iam.user_invited", _USER,
           "User invited", 3, "info", _user((3001, 99), (3007, 99), "info")),
    Action("user.deactivated", "users", "hub.iam.user_deactivated", _USER,
           "User deactivated", 5, "notice", _user((3001, 5), (3007, 5), "change")),
    Action("user.removed", "users", "hub.iam.user_removed", _USER,
           "User removed", 6, "notice", _user((3001, 6), (3007, 3), "deletion")),

    Action("role.created", "roles", "hub.iam.role_created", _ROLE,
           "Role created", 5, "notice", _role((3004, 1), (3008, 1), "creation")),
    Action("role.updated", "roles", "hub.iam.role_updated", _ROLE,
           "Role updated", 5, "notice", _role((3004, 3), (3008, 2), "change")),
    Action("role.deleted", "roles", "hub.iam.role_deleted", _ROLE,
           "Role deleted", 6, "notice", _role((3004, 4), (3008, 3), "deletion")),
    Action("role.assigned", "roles", "hub.iam.role_assigned", _USER,
           "Role assigned", 6, "notice", _access(1, 16)),
    Action("role.unassigned", "roles", "hub.iam.role_unassigned", _USER,
           "Role unassigned", 4, "notice", _access(2, 17)),

    Action("product_access.granted", "product_access", "hub.iam.access_granted", ("product",),
           "Product access granted", 5, "notice",
           _access(1, 14), _role((3004, 3), (3008, 4), "change")),
    Action("product_access.revoked", "product_access", "hub.iam.access_revoked", ("product",),
           "Product access revoked", 4, "notice",
           _access(2, 15), _role((3004, 3), (3008, 5), "change")),

    Action("permission.granted", "permissions", "hub.iam.permission_changed", _EITHER,
           "Permission granted", 6, "notice",
           _access(1, 14), _role((3004, 3), (3008, 4), "change")),
    Action("permission.revoked", "permissions", "hub.iam.permission_changed", _EITHER,
           "Permission revoked", 5, "notice",
           _access(2, 15), _role((3004, 3), (3008, 5), "change")),
    Action("permission.bulk_updated", "permissions", "hub.iam.permission_changed", _EITHER,
           "Permissions bulk updated", 7, "warning",
           _access(99, 99, "Bulk Update"), _role((3004, 3), (3008, 2), "change")),

    Action("billing.plan_changed", "billing", "hub.billing.plan_changed", ("plan",),
           "Plan changed", 4, "notice", _billing(3, "Subscription", "change")),
    Action("billing.payment_method_updated", "billing", "hub.billing.payment_method_updated",
           ("payment_method",), "Payment method updated", 5, "notice",
           _billing(3, "Payment Method", "change")),
    Action("billing.invoice_generated", "billing", "hub.billing.invoice_generated", ("invoice",),
           "Invoice generated", 1, "info", _billing(1, "Invoice", "creation")),
)

_OWN_ROWS = (
    Action("audit.viewed", "audit", "hub.audit.viewed", _LOG,
           "Audit log viewed", 2, "info", _own(2, "access")),
    Action("audit.exported", "audit", "hub.audit.exported", _LOG,
           "Audit log exported", 2, "info", _own(2, "access")),
    Action("audit.denied", "audit", "hub.audit.denied", _LOG,
           "Audit log access denied", 5, "warning", _own(2, "access")),
    Action("audit.subscription_changed", "audit", "hub.audit.subscription_changed",
           ("subscription",), "SIEM subscription changed", 2, "info", _own(3, "change")),
    Action("audit.finding_acknowledged", "audit", "hub.audit.finding_acknowledged", ("finding",),
           "Finding acknowledged", 2, "info", _own(3, "change")),
    Action("audit.retention_purged", "audit", "hub.audit.retention_purged", _LOG,
           "Audit log retention applied", 2, "info", _own(4, "deletion")),
)
# fmt: on

ACTIONS: tuple[str, ...] = tuple(row.name for row in _ROWS)
"""The 22 actions of the product, in catalogue order."""

OWN_ACTIONS: tuple[str, ...] = tuple(row.name for row in _OWN_ROWS)
"""The six actions of the log of the log; hidden on the page until asked for."""

CATALOGUE: dict[str, Action] = {row.name: row for row in _ROWS + _OWN_ROWS}
"""Every action by name, the 22 first."""

CANONICAL_TOPICS: tuple[str, ...] = tuple(dict.fromkeys(row.topic for row in _ROWS))
"""The 20 topics of the 22 actions, without prefix."""

OWN_TOPICS: tuple[str, ...] = tuple(row.topic for row in _OWN_ROWS)
"""The six ``hub.audit.*`` topics of Hub Audit's own actions, without prefix."""
