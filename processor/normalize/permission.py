"""``raw.permission``: roles, bindings, product access and grants become entries."""

from processor.normalize.details import differences, normalized_email
from processor.normalize.draft import (
    EMAIL_CHARACTERS_MAX,
    NAME_CHARACTERS_MAX,
    NO_CHANGE,
    Data,
    Decision,
    Draft,
    present,
    target_of,
    unknown,
)


def role_created(data: Data) -> Decision:
    """Return a new role, whole."""
    return Draft("role.created", target_of("role", data["role"]), new=data["role"])


def role_updated(data: Data) -> Decision:
    """Return what of a role changed."""
    old, new = differences(data["before"], data["after"])
    if not old and not new:
        return NO_CHANGE
    extra = {"role": unknown(data["role"], "id", "name")}
    return Draft("role.updated", target_of("role", data["role"]), old=old, new=new, extra=extra)


def role_deleted(data: Data) -> Decision:
    """Return a role as it was."""
    return Draft("role.deleted", target_of("role", data["role"]), old=data["role"])


def role_binding_changed(data: Data) -> Decision:
    """Return a role given to a user or taken away; the lists before and after decide."""
    user, role = data["user"], data["role"]
    before, after = data["roles_before"], data["roles_after"]
    had, has = role["name"] in before, role["name"] in after
    if had == has:
        return NO_CHANGE
    return Draft(
        "role.assigned" if has else "role.unassigned",
        target_of("user", user),
        old={"roles": before},
        new={"roles": after},
        role=_reference(role, "id", "name"),
        extra={
            "user": unknown(user, "id", "email", "name"),
            "role": unknown(role, "id", "name"),
        },
    )


def product_access_changed(data: Data) -> Decision:
    """Return access granted or revoked; a new level, or a new end of the same one, is a grant."""
    before, after, expires_at = (
        data.get(name) for name in ("level_before", "level_after", "expires_at")
    )
    if before == after and (after is None or expires_at is None):
        return NO_CHANGE
    product, grantee = data["product"], data["grantee"]
    new = {} if after is None else {"level": after}
    if expires_at is not None:
        new["expires_at"] = expires_at
    return Draft(
        "product_access.revoked" if after is None else "product_access.granted",
        target_of("product", present(product, "id", "name")),
        old=None if before is None else {"level": before},
        new=new or None,
        grantee=_reference(grantee, "type", "id", "email", "name"),
        extra={
            "product": unknown(product, "id", "name"),
            "grantee": unknown(grantee, "type", "id", "email", "name"),
        },
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
    return Draft(
        action,
        target_of(target["type"], target),
        old={"permissions": removed},
        new={"permissions": added},
        extra={
            **present(data, "bulk"),
            "target": unknown(target, "type", "id", "email", "name"),
        },
    )


def _reference(reference: Data, *names: str) -> Data:
    """Return the known members of a role or grantee, within the bounds of ids and names."""
    known = present(reference, *names)
    if "email" in known:
        known["email"] = normalized_email(known["email"])[:EMAIL_CHARACTERS_MAX]
    return {
        name: value if name == "email" else value[:NAME_CHARACTERS_MAX]
        for name, value in known.items()
    }
