"""raw.permission, row by row: what each type becomes."""

from typing import Any

import pytest

from tests.unit.normalized import PRODUCT, ROLE, USER, details, entry, reason, unchanged

ACCESS = "permission.product_access.changed"
BINDING = "permission.role_binding.changed"
GRANTS = "permission.grants.changed"
GRANTEE = {"type": "user", "id": "u-2"}


def test_a_created_role_is_told_whole() -> None:
    """As new."""
    role = {**ROLE, "permissions": ["read"], "email": 7}
    made = entry("permission.role.created", {"role": role})
    assert (made["action"], made["category"]) == ("role.created", "roles")
    assert (made["target"], made["details"]) == ({"type": "role", **ROLE}, {"new": role})


def test_an_updated_role_s_differences() -> None:
    """Only the keys that differ; what else is told of the role goes to extra."""
    sides = {
        "before": {"name": "E", "permissions": []},
        "after": {"name": "E", "permissions": [""]},
    }
    made = entry("permission.role.updated", {"role": {**ROLE, "system": False}, **sides})
    assert (made["action"], made["target"]) == ("role.updated", {"type": "role", **ROLE})
    assert made["details"] == {
        "old": {"permissions": []},
        "new": {"permissions": [""]},
        "extra": {"role": {"system": False}},
    }
    assert unchanged("permission.role.updated", {"before": {"a": 1}, "after": {"a": 1}})


@pytest.mark.parametrize("sides", [({"a": 1, "b": 2}, {"b": 2}), ({}, {"a": 1})])
def test_what_a_role_gains_or_loses_is_a_change(sides: tuple[Any, Any]) -> None:
    """Also where only one side has something to tell."""
    before, after = sides
    made = details("permission.role.updated", {"before": before, "after": after})
    assert made == {
        "old": {k: v for k, v in before.items() if k not in after},
        "new": {k: v for k, v in after.items() if k not in before},
    }


@pytest.mark.parametrize("permissions", [{}, {"permissions": None}, {"permissions": ["read"]}])
def test_a_deleted_role_is_told_as_it_was(permissions: Any) -> None:
    """Whole, as old; its permissions need not be told."""
    made = entry("permission.role.deleted", {"role": {**ROLE, **permissions}})
    assert (made["action"], made["target"]) == ("role.deleted", {"type": "role", **ROLE})
    given = {k: v for k, v in permissions.items() if v is not None}
    assert made["details"] == {"old": {**ROLE, **given}}


@pytest.mark.parametrize(
    ("before", "after", "action"),
    [
        ([], ["Editor"], "role.assigned"),
        (["Member", "Editor"], ["Member"], "role.unassigned"),
        ([], [], None),
        (["Editor"], ["Editor", "Member"], None),
        (["r-1"], [], None),
    ],
)
def test_a_role_is_bound_by_its_name(before: Any, after: Any, action: str | None) -> None:
    """In one of the lists only: assigned or unassigned; in both or none: no change."""
    lists = {"roles_before": before, "roles_after": after}
    if action is None:
        assert unchanged(BINDING, lists)
        return
    made = entry(BINDING, lists)
    assert (made["action"], made["target"]) == (action, {"type": "user", **USER})
    assert made["details"] == {"old": {"roles": before}, "new": {"roles": after}, "role": ROLE}


def test_who_is_bound_to_what_is_told() -> None:
    """The rest of user and role, and of whom permissions are given to, goes to extra."""
    more = {"team": "red"}
    told = details(BINDING, {"user": {**USER, **more}, "role": {**ROLE, "system": True}})
    assert told["extra"] == {"user": more, "role": {"system": True}}
    told = details(GRANTS, {"target": {"type": "user", **USER, **more}})
    assert told["extra"] == {"target": more}


@pytest.mark.parametrize(
    ("before", "after", "until", "action"),
    [
        (None, "read", None, "granted"),
        (..., "read", "2027-01-01", "granted"),
        ("read", "admin", None, "granted"),
        ("read", "read", "2027-01-01", "granted"),
        ("read", None, None, "revoked"),
        ("read", ..., "2027-01-01", "revoked"),
        (None, None, None, None),
        (..., None, "2027-01-01", None),
        ("read", "read", None, None),
    ],
)
def test_product_access_goes_by_its_levels(
    before: Any, after: Any, until: Any, action: str | None
) -> None:
    """A new level is a grant, so is a new end of the same one; no level after is a revocation."""
    told = {"level_before": before, "level_after": after, "expires_at": until}
    if action is None:
        assert unchanged(ACCESS, told)
        return
    made = entry(ACCESS, told)
    assert made["action"] == f"product_access.{action}"
    assert made["target"] == {"type": "product", **PRODUCT}
    old = {"level": before} if isinstance(before, str) else {}
    new = {"level": after} if isinstance(after, str) else {}
    new |= {"expires_at": until} if until else {}
    sides = {k: v for k, v in {"old": old, "new": new}.items() if v}
    assert made["details"] == {**sides, "grantee": GRANTEE}


def test_whom_access_is_granted_is_told() -> None:
    """With what is known of the grantee; the rest of grantee and product goes to extra."""
    grantee = {"type": "role", "id": "r-1", "email": "R@X", "name": "Editor", "more": 1}
    made = entry(ACCESS, {"grantee": grantee, "product": {**PRODUCT, "sku": "v"}})
    known = {"type": "role", "id": "r-1", "email": "r@x", "name": "Editor"}
    assert made["details"]["grantee"] == known
    assert made["details"]["extra"] == {"product": {"sku": "v"}, "grantee": {"more": 1}}


@pytest.mark.parametrize(
    ("added", "removed", "bulk", "action"),
    [
        (["a"], [], None, "granted"),
        (["a"], [], False, "granted"),
        ([], ["b"], None, "revoked"),
        (["a"], ["b"], None, "bulk_updated"),
        (["a"], [], True, "bulk_updated"),
        ([], ["b"], True, "bulk_updated"),
        ([], [], None, None),
        ([], [], True, None),
    ],
)
def test_grants_go_by_their_lists(added: Any, removed: Any, bulk: Any, action: str | None) -> None:
    """Only added, only removed, both or in bulk; of two empty lists nothing comes."""
    told = {"added": added, "removed": removed, "bulk": bulk}
    if action is None:
        assert unchanged(GRANTS, told)
        return
    made = entry(GRANTS, told)
    assert made["action"] == f"permission.{action}"
    assert made["target"] == {"type": "role", "id": "r-1"}
    extra = {} if bulk is None else {"extra": {"bulk": bulk}}
    sides = {"old": {"permissions": removed}, "new": {"permissions": added}}
    assert made["details"] == {**sides, **extra}


@pytest.mark.parametrize("kind", ["user", "role"])
def test_grants_are_a_user_s_or_a_role_s(kind: str) -> None:
    """The target says whose, by what is known of it."""
    target = {"type": kind, "id": "x", "email": "X@Y", "name": "X", "more": 1}
    made = entry(GRANTS, {"target": target, "correlation_id": "c-1"})
    assert made["target"] == {"type": kind, "id": "x", "name": "X", "email": "x@y"}
    assert (made["correlation_id"], made["details"]["extra"]) == ("c-1", {"target": {"more": 1}})


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("permission.role.created", {"role": ROLE}),
        ("permission.role.created", {"role": {**ROLE, "permissions": ["read", 1]}}),
        ("permission.role.created", {"role": {**ROLE, "permissions": "read"}}),
        ("permission.role.updated", {"role": {"id": "r-1"}}),
        ("permission.role.updated", {"after": None}),
        ("permission.role.deleted", {"role": {"id": 1, "name": "E"}}),
        (BINDING, {"roles_before": None}),
        (BINDING, {"roles_after": [["Editor"]]}),
        (ACCESS, {"product": {"id": "p-1"}}),
        (ACCESS, {"grantee": {"type": "group", "id": "g"}}),
        (ACCESS, {"grantee": {"type": ["user"], "id": "g"}}),
        (ACCESS, {"grantee": {"type": "user"}}),
        (ACCESS, {"level_after": 3}),
        (GRANTS, {"target": {"type": "product", "id": "p"}}),
        (GRANTS, {"added": ...}),
        (GRANTS, {"removed": {}}),
        (GRANTS, {"bulk": 1}),
    ],
)
def test_missing_or_ill_typed_data_is_rejected(name: str, changed: Any) -> None:
    """The enumerations that decide a type are closed."""
    assert reason(name, changed) == "invalid_data"
