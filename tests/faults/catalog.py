"""What the documents say about topics, names and numbers, written down by hand for the oracle.

Nothing here comes from the product: a wrong table in ``schemas`` must not excuse itself.
"""

RAW_TOPICS = ("raw.identity", "raw.permission", "raw.billing", "raw.audit", "raw.redrive")
DEAD_LETTERS = "hub.audit.dead_letters"

# action -> (canonical topic, category, severity of a success)
ACTIONS: dict[str, tuple[str, str, int]] = {
    "auth.login_success": ("hub.auth.login_success", "authentication", 2),
    "auth.login_failed": ("hub.auth.login_failed", "authentication", 5),
    "auth.logout": ("hub.auth.logout", "authentication", 1),
    "auth.session_expired": ("hub.auth.session_expired", "authentication", 1),
    "user.created": ("hub.iam.user_created", "users", 4),
    "user.updated": ("hub.iam.user_updated", "users", 3),
    "user.invited": ("hub.iam.user_invited", "users", 3),
    "user.deactivated": ("hub.iam.user_deactivated", "users", 5),
    "user.removed": ("hub.iam.user_removed", "users", 6),
    "role.created": ("hub.iam.role_created", "roles", 5),
    "role.updated": ("hub.iam.role_updated", "roles", 5),
    "role.deleted": ("hub.iam.role_deleted", "roles", 6),
    "role.assigned": ("hub.iam.role_assigned", "roles", 6),
    "role.unassigned": ("hub.iam.role_unassigned", "roles", 4),
    "product_access.granted": ("hub.iam.access_granted", "product_access", 5),
    "product_access.revoked": ("hub.iam.access_revoked", "product_access", 4),
    "permission.granted": ("hub.iam.permission_changed", "permissions", 6),
    "permission.revoked": ("hub.iam.permission_changed", "permissions", 5),
    "permission.bulk_updated": ("hub.iam.permission_changed", "permissions", 7),
    "billing.plan_changed": ("hub.billing.plan_changed", "billing", 4),
    "billing.payment_method_updated": ("hub.billing.payment_method_updated", "billing", 5),
    "billing.invoice_generated": ("hub.billing.invoice_generated", "billing", 1),
    "audit.viewed": ("hub.audit.viewed", "audit", 2),
    "audit.exported": ("hub.audit.exported", "audit", 2),
    "audit.denied": ("hub.audit.denied", "audit", 5),
    "audit.subscription_changed": ("hub.audit.subscription_changed", "audit", 2),
    "audit.finding_acknowledged": ("hub.audit.finding_acknowledged", "audit", 2),
    "audit.retention_purged": ("hub.audit.retention_purged", "audit", 2),
}
CANONICAL_TOPICS = tuple(sorted({topic for topic, _, _ in ACTIONS.values()}))

# The keys of an entry in canonical order.
ENTRY_KEYS = (
    "schema_version",
    "entry_id",
    "seq",
    "org_id",
    "org_name",
    "occurred_at",
    "occurred_at_quality",
    "recorded_at",
    "category",
    "action",
    "outcome",
    "outcome_reason",
    "severity",
    "actor",
    "target",
    "details",
    "ip",
    "ip_port",
    "ip_raw",
    "user_agent",
    "session_id",
    "request_id",
    "correlation_id",
    "trace_id",
    "span_id",
    "source",
    "raw_sha256",
    "normalizer",
)


def severity(action: str, outcome: str) -> int:
    """Return the severity; a failed attempt to administer weighs one more."""
    topic, _, number = ACTIONS[action]
    return number + (outcome == "failure" and topic.startswith("hub.iam."))


def murmur2(key: bytes) -> int:
    """Return Kafka's murmur2 hash of a key, its sign bit cleared, as Java's partitioner does."""
    size = len(key)
    h = (0x9747B28C ^ size) & 0xFFFFFFFF
    whole = size & ~3
    for i in range(0, whole, 4):
        k = int.from_bytes(key[i : i + 4], "little") * 0x5BD1E995 & 0xFFFFFFFF
        k = (k ^ (k >> 24)) * 0x5BD1E995 & 0xFFFFFFFF
        h = (h * 0x5BD1E995 & 0xFFFFFFFF) ^ k
    rest = key[whole:]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * 0x5BD1E995 & 0xFFFFFFFF
    h = (h ^ (h >> 13)) * 0x5BD1E995 & 0xFFFFFFFF
    return (h ^ (h >> 15)) & 0x7FFFFFFF


def home_lane(org_id: str, lanes: int) -> int:
    """Return the partition to which an organization's key hashes."""
    return murmur2(org_id.encode()) % lanes
