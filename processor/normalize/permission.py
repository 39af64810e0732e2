"""``raw.permission``: roles, bindings, product access and grants become entries."""

from processor.normalize.details import differences
from processor.normalize.draft import NO_CHANGE, Data, Decision, Draft, Places, present, target_of

_ROLE: Places = {
    "$.target": "$.data.role",
    "$.details.old": "$.data.role",
    "$.details.new": "$.data.role",
}
_CHANGED_ROLE: Places = {
    "$.target": "$.data.role",
    "$.details.old": "$.data.before",
    "$.details.new": "$.data.after",
}
_BINDING: Places = {
    "$.target": "$.data.user",
    "$.details.old.roles": "$.data.roles_before",
    "$.details.new.roles": "$.data.roles_after",
}
_ACCESS: Places = {
    "$.target": "$.data.product",
    "$.details.old.level": "$.data.level_before",
    "$.details.new.level": "$.data.level_after",
    "$.details.new.expires_at": "$.data.expires_at",
}
_GRANTS: Places = {
    "$.target": "$.data.target",
    "$.details.old.permissions": "$.data.removed",
    "$.details.new.permissions": "$.data.added",
}


def role_created(data: Data) -> Decision:
    """Return a new role, whole."""
    role = data["role"]
    return Draft("role.created", target_of("role", present(role, "id", "name")), _ROLE, new=role)


def role_updated(data: Data) -> Decision:
    """Return what of a role changed."""
    old, new = differences(data["before"], data["after"])
    if not old and not new:
        return NO_CHANGE
    target = target_of("role", present(data["role"], "id", "name"))
    return Draft("role.updated", target, _CHANGED_ROLE, old, new)


def role_deleted(data: Data) -> Decision:
    """Return a role as it was."""
    role = data["role"]
    return Draft("role.deleted", target_of("role", present(role, "id", "name")), _ROLE, role)


def role_binding_changed(data: Data) -> Decision:
    """Return a role given to a user or taken away; the lists before and after decide."""
    role, before, after = data["role"], data["roles_before"], data["roles_after"]
    had, has = role["name"] in before, role["name"] in after
    if had == has:
        return NO_CHANGE
    return Draft(
        "role.assigned" if has else "role.unassigned",
        target_of("user", data["user"]),
        _BINDING,
        {"roles": before},
        {"roles": after},
        role=present(role, "id", "name"),
    )


def product_access_changed(data: Data) -> Decision:
    """Return access granted or revoked; a new level, or a new end of the same one, is a grant."""
    before, after = data.get("level_before"), data.get("level_after")
    expires_at = data.get("expires_at")
    if before == after and (after is None or expires_at is None):
        return NO_CHANGE
    new = {} if after is None else {"level": after}
    if expires_at is not None:
        new["expires_at"] = expires_at
    return Draft(
        "product_access.revoked" if after is None else "product_access.granted",
        target_of("product", present(data["product"], "id", "name")),
        _ACCESS,
        None if before is None else {"level": before},
        new or None,
        grantee=present(data["grantee"], "type", "id", "email", "name"),
    )


def grants_changed(data: Data) -> Decision:
    """Return permissions granted, revoked or both to one user or role."""
    target, added, removed = data["target"], data["added"], data["removed"]
    if not added and not removed:
        return NO_CHANGE
    if data.get("bulk") or (added and removed):
        action = "permission.bulk_updated"
    else:
        action = "permission.granted" if added else "permission.revoked"
    old, new = {"permissions": removed}, {"permissions": added}
    return Draft(action, target_of(target["type"], target), _GRANTS, old, new)
