"""Topic ``raw.permission``: roles, who has them, product access, grants."""

from typing import NotRequired

from pydantic import TypeAdapter, with_config
from typing_extensions import TypedDict

from schemas.raw.shared import (
    CONTRACT,
    Common,
    Contracts,
    JsonObject,
    Named,
    Principal,
    Reference,
    Text,
    Texts,
)


@with_config(CONTRACT)
class Role(TypedDict):
    """A whole role."""

    id: str
    name: str
    permissions: Texts


@with_config(CONTRACT)
class RoleCreated(Common):
    """A role was created."""

    role: Role


@with_config(CONTRACT)
class RoleUpdated(Common):
    """A role was changed; before and after are complete."""

    role: Named
    before: JsonObject
    after: JsonObject


@with_config(CONTRACT)
class DeletedRole(TypedDict):
    """A role as it was; its permissions need not be told."""

    id: str
    name: str
    permissions: NotRequired[Texts | None]


@with_config(CONTRACT)
class RoleDeleted(Common):
    """A role is gone."""

    role: DeletedRole


@with_config(CONTRACT)
class RoleBindingChanged(Common):
    """A user got or lost a role; the lists hold the names of all roles the user has."""

    user: Reference
    role: Named
    roles_before: Texts
    roles_after: Texts


@with_config(CONTRACT)
class ProductAccessChanged(Common):
    """A user or a role got, lost or changed access to a product."""

    product: Named
    grantee: Principal
    level_before: NotRequired[Text]
    level_after: NotRequired[Text]
    expires_at: NotRequired[Text]


@with_config(CONTRACT)
class GrantsChanged(Common):
    """Permissions of one user or role changed; a bulk operation is many of these."""

    target: Principal
    added: Texts
    removed: Texts
    bulk: NotRequired[bool | None]


CONTRACTS: Contracts = {
    "permission.role.created": TypeAdapter(RoleCreated),
    "permission.role.updated": TypeAdapter(RoleUpdated),
    "permission.role.deleted": TypeAdapter(RoleDeleted),
    "permission.role_binding.changed": TypeAdapter(RoleBindingChanged),
    "permission.product_access.changed": TypeAdapter(ProductAccessChanged),
    "permission.grants.changed": TypeAdapter(GrantsChanged),
}

NOT_AUDITED = frozenset({"permission.check.evaluated"})
"""Types that are no audit events, whatever they carry."""
