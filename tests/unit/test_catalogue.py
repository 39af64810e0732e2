"""The catalogue against the contract's own words: names, laws and SIEM columns."""

import pytest

from schemas.catalogue import (
    ACTIONS,
    CANONICAL_TOPICS,
    CATALOGUE,
    CATEGORY_LABELS,
    DEAD_LETTER_TOPIC,
    OWN_ACTIONS,
    OWN_TOPICS,
    ocsf_severity,
)

# The topics that the product page names, to the letter.
PRODUCT_PAGE_TOPICS = {
    "auth.login_success": "hub.auth.login_success",
    "auth.login_failed": "hub.auth.login_failed",
    "user.created": "hub.iam.user_created",
    "product_access.granted": "hub.iam.access_granted",
    "product_access.revoked": "hub.iam.access_revoked",
    "permission.granted": "hub.iam.permission_changed",
    "permission.revoked": "hub.iam.permission_changed",
    "permission.bulk_updated": "hub.iam.permission_changed",
}

# action | ECS category | ECS type | CEF severity | CEF name | OCSF severity | syslog | 1.8 | 1.9
SIEM = """
auth.login_success | authentication | start | 2 | Login succeeded | 1 | info | 300201 | 300201
auth.login_failed | authentication | start | 5 | Login failed | 2 | warning | 300201 | 300201
auth.logout | authentication, session | end | 1 | Logout | 1 | info | 300202 | 300202
auth.session_expired | session | end | 1 | Session expired | 1 | info | 300202 | 300202
user.created | iam | user, creation | 4 | User created | 2 | notice | 300101 | 300701
user.updated | iam | user, change | 3 | User updated | 1 | info | 300403 | 300702
user.invited | iam | user, info | 3 | User invited | 1 | info | 300199 | 300799
user.deactivated | iam | user, change | 5 | User deactivated | 2 | notice | 300105 | 300705
user.removed | iam | user, deletion | 6 | User removed | 3 | notice | 300106 | 300703
role.created | iam | admin, creation | 5 | Role created | 2 | notice | 300401 | 300801
role.updated | iam | admin, change | 5 | Role updated | 2 | notice | 300403 | 300802
role.deleted | iam | admin, deletion | 6 | Role deleted | 3 | notice | 300404 | 300803
role.assigned | iam | user, change | 6 | Role assigned | 3 | notice | 300501 | 300716
role.unassigned | iam | user, change | 4 | Role unassigned | 2 | notice | 300502 | 300717
product_access.granted | iam | user, change | 5 | Product access granted | 2 | notice \
| 300501 | 300714
product_access.revoked | iam | user, change | 4 | Product access revoked | 2 | notice \
| 300502 | 300715
permission.granted | iam | user, change | 6 | Permission granted | 3 | notice | 300501 | 300714
permission.revoked | iam | user, change | 5 | Permission revoked | 2 | notice | 300502 | 300715
permission.bulk_updated | iam | user, change | 7 | Permissions bulk updated | 3 | warning \
| 300599 | 300799
billing.plan_changed | configuration | change | 4 | Plan changed | 2 | notice | 300403 | 300403
billing.payment_method_updated | configuration | change | 5 | Payment method updated | 2 | notice \
| 300403 | 300403
billing.invoice_generated | configuration | creation | 1 | Invoice generated | 1 | info \
| 300401 | 300401
audit.viewed | configuration | access | 2 | Audit log viewed | 1 | info | 600302 | 600302
audit.exported | configuration | access | 2 | Audit log exported | 1 | info | 600302 | 600302
audit.denied | configuration | access | 5 | Audit log access denied | 2 | warning | 600302 | 600302
audit.subscription_changed | configuration | change | 2 | SIEM subscription changed | 1 | info \
| 600303 | 600303
audit.finding_acknowledged | configuration | change | 2 | Finding acknowledged | 1 | info \
| 600303 | 600303
audit.retention_purged | configuration | deletion | 2 | Audit log retention applied | 1 | info \
| 600304 | 600304
"""


def topic_by_law(action: str) -> str:
    """Return the topic that the contract's law gives to an action."""
    family, _, name = action.partition(".")
    if family in ("auth", "billing", "audit"):
        return f"hub.{family}.{name}"
    if family == "permission":
        return "hub.iam.permission_changed"
    return "hub.iam." + action.replace("product_access.", "access_").replace(".", "_")


def test_there_are_22_actions_and_20_topics() -> None:
    """Beside them stand the six of the log of the log, with a topic each."""
    assert len(ACTIONS) == 22
    assert len(CANONICAL_TOPICS) == 20
    assert len(OWN_ACTIONS) == len(OWN_TOPICS) == 6
    assert tuple(CATALOGUE) == ACTIONS + OWN_ACTIONS
    assert all(name == row.name for name, row in CATALOGUE.items())


def test_topics_of_the_product_page_are_exact() -> None:
    """The six names that customers read are these, byte for byte."""
    assert len(set(PRODUCT_PAGE_TOPICS.values())) == 6
    assert {name: CATALOGUE[name].topic for name in PRODUCT_PAGE_TOPICS} == PRODUCT_PAGE_TOPICS


def test_topic_is_a_function_of_the_action() -> None:
    """Each row obeys the naming law, and so does its category."""
    for name, row in CATALOGUE.items():
        assert row.topic == topic_by_law(name)
    families = {row.topic.split(".")[1]: row.category for row in CATALOGUE.values()}
    assert families["auth"] == "authentication"
    assert {row.category for row in CATALOGUE.values()} == set(CATEGORY_LABELS)


def test_no_two_topics_clash_in_metrics() -> None:
    """Kafka folds the dot and the underscore of topic names into one in its metrics."""
    topics = [*CANONICAL_TOPICS, *OWN_TOPICS, DEAD_LETTER_TOPIC]
    assert len({topic.replace(".", "_") for topic in topics}) == len(topics) == 27


def test_msgid_fits_syslog() -> None:
    """RFC 5424 allows 32 characters; the longest topic has more, no action has."""
    assert max(len(row.msgid) for row in CATALOGUE.values()) == 30
    assert max(len(topic) for topic in CANONICAL_TOPICS) == 34


@pytest.mark.parametrize("line", SIEM.strip().splitlines())
def test_siem_columns(line: str) -> None:
    """Each action has the columns of the contract."""
    action, category, kind, severity, label, ocsf, syslog, v1_8, v1_9 = line.split(" | ")
    row = CATALOGUE[action]
    assert (
        ", ".join(row.mapping.ecs.category),
        ", ".join(row.mapping.ecs.type),
        str(row.severity),
        row.label,
        str(ocsf_severity(row.severity)),
        row.syslog,
        str(row.mapping.ocsf.v1_8.type_uid),
        str(row.mapping.ocsf.v1_9.type_uid),
    ) == (category, kind, severity, label, ocsf, syslog, v1_8, v1_9)


def test_siem_columns_cover_the_catalogue() -> None:
    """No action is without columns in the contract."""
    lines = SIEM.strip().splitlines()
    assert [line.split(" | ")[0] for line in lines] == list(CATALOGUE)


def test_failure_of_an_iam_action_weighs_one_more() -> None:
    """Of those alone: a failed login or a denied look has its weight already."""
    for row in CATALOGUE.values():
        assert row.severity_of("success") == row.severity
        weight = row.severity_of("failure") - row.severity
        assert weight == (row.category in {"users", "roles", "product_access", "permissions"})
        assert row.severity_of("failure") == row.failure_severity <= 8


def test_role_as_target_changes_the_columns() -> None:
    """What a role gets or loses is an entity's update in OCSF and administration in ECS."""
    expected = {
        "product_access.granted": (300403, 300804),
        "product_access.revoked": (300403, 300805),
        "permission.granted": (300403, 300804),
        "permission.revoked": (300403, 300805),
        "permission.bulk_updated": (300403, 300802),
    }
    for action, type_uids in expected.items():
        mapping = CATALOGUE[action].mapping_of("role")
        assert (mapping.ocsf.v1_8.type_uid, mapping.ocsf.v1_9.type_uid) == type_uids
        assert mapping.ecs.type == ("admin", "change")
        assert mapping.ocsf.entity == "Role"
        assert CATALOGUE[action].mapping_of("user") is CATALOGUE[action].mapping
    assert {a for a, row in CATALOGUE.items() if row.role_mapping} == set(expected)


def test_ocsf_says_what_a_generic_class_is_about() -> None:
    """Entity Management names its entity, an activity without a number of its own its name."""
    for row in CATALOGUE.values():
        ocsf = row.mapping.ocsf
        assert (ocsf.v1_8.class_uid == 3004) == (ocsf.entity is not None)
        assert (ocsf.v1_8.activity_id == 99) == (ocsf.activity_name is not None)
        assert ocsf.v1_8.category_uid == (6 if row.category == "audit" else 3)
    assert len({CATALOGUE[name].mapping.ocsf.v1_8.type_uid for name in ACTIONS}) == 12


def test_ocsf_severity_follows_that_of_cef() -> None:
    """0 to 3 are informational, then two or three steps make one."""
    assert [ocsf_severity(n) for n in range(11)] == [1, 1, 1, 1, 2, 2, 3, 3, 4, 4, 4]
