"""What is cut is listed by where it stood in the raw event, whatever the entry calls it."""

from typing import Any

import pytest

from tests.unit.normalized import INVOICE
from tests.unit.test_normalize_bounds import made


@pytest.mark.parametrize(
    ("name", "changed", "paths"),
    [
        (
            "identity.session.ended",
            {"session_id": "x" * 129},
            ["$.data.session_id"],
        ),
        (
            "identity.login.failed",
            {"identifier": "x" * 321, "actor": {"type": "user", "email": "x" * 321}},
            ["$.data.actor.email", "$.data.identifier"],
        ),
        (
            "identity.login.failed",
            {"actor": {"type": "user", "email": "x" * 321}, "reason": "x" * 257},
            ["$.data.reason", "$.data.actor.email"],
        ),
        (
            "permission.role_binding.changed",
            {"role": {"id": "r", "name": "x" * 257}, "roles_after": ["x" * 257]},
            ["$.data.role.name"],
        ),
        (
            "permission.role_binding.changed",
            {"roles_before": ["x" * 5_000]},
            ["$.data.roles_before[0]"],
        ),
        (
            "permission.product_access.changed",
            {"grantee": {"type": "user", "id": "x" * 257}, "level_after": "x" * 5_000},
            ["$.data.level_after", "$.data.grantee.id"],
        ),
        (
            "permission.product_access.changed",
            {"product": {"id": "x" * 257, "name": "p"}, "level_before": "x" * 5_000},
            ["$.data.product.id", "$.data.level_before"],
        ),
        (
            "permission.grants.changed",
            {"removed": ["x" * 5_000]},
            ["$.data.removed[0]"],
        ),
        (
            "permission.role_binding.changed",
            {"user": {"id": "x" * 257}},
            ["$.data.user.id"],
        ),
        *(
            (
                f"permission.role.{change}",
                {"role": {"id": "x" * 257, "name": "r", "permissions": ["x" * 5_000]}},
                ["$.data.role.id", "$.data.role.permissions[0]"],
            )
            for change in ("created", "deleted")
        ),
        (
            "permission.role.updated",
            {
                "role": {"id": "x" * 257, "name": "r"},
                "before": {"a": "x" * 5_000},
                "after": {"a": "y" * 5_000},
            },
            ["$.data.role.id", "$.data.before.a", "$.data.after.a"],
        ),
        *(
            (
                f"identity.user.{change}",
                {"user": {"id": "x" * 257, "email": "a@b.c", "note": "x" * 5_000}},
                ["$.data.user.id", "$.data.user.note"],
            )
            for change in ("created", "removed")
        ),
        (
            "identity.user.invited",
            {"invitation": {"id": "x" * 257, "email": "a@b.c", "role": "x" * 5_000}},
            ["$.data.invitation.id", "$.data.invitation.role"],
        ),
        (
            "billing.subscription.updated",
            {
                "previous": {"plan": {"id": "x" * 5_000}},
                "current": {"plan": {"id": "y" * 5_000}},
            },
            ["$.data.current.plan.id", "$.data.previous.plan.id"],
        ),
        (
            "billing.payment_method.updated",
            {
                "previous": {"brand": "x" * 5_000},
                "payment_method": {"id": "x" * 257, "brand": "y" * 5_000},
            },
            ["$.data.payment_method.id", "$.data.previous.brand", "$.data.payment_method.brand"],
        ),
        (
            "audit.subscription.changed",
            {
                "subscription": {"id": "x" * 257},
                "before": {"a": "x" * 5_000},
                "after": {"a": "y" * 5_000},
            },
            ["$.data.subscription.id", "$.data.before.a", "$.data.after.a"],
        ),
        (
            "audit.finding.acknowledged",
            {"finding": {"id": "x" * 257}},
            ["$.data.finding.id"],
        ),
        (
            "permission.grants.changed",
            {"added": ["a", "x" * 5_000], "target": {"type": "user", "id": "x" * 257}},
            ["$.data.target.id", "$.data.added[1]"],
        ),
        (
            "billing.invoice.finalized",
            {"invoice": {**INVOICE, "number": "x" * 257}},
            ["$.data.invoice.number"],
        ),
        (
            "billing.invoice.finalized",
            {"invoice": {**INVOICE, "id": "x" * 257, "note": "x" * 5_000}},
            ["$.data.invoice.id", "$.data.invoice.note"],
        ),
        (
            "identity.login.succeeded",
            {"actor": {"type": "support", "id": "s", "on_behalf_of": {"email": "x" * 321}}},
            ["$.data.actor.on_behalf_of.email"],
        ),
        (
            "identity.login.succeeded",
            {"actor": {"type": "support", "id": "s", "on_behalf_of": {"id": "x" * 257}}},
            ["$.data.actor.on_behalf_of.id"],
        ),
    ],
)
def test_each_type_s_parts_are_listed_by_their_origin(
    name: str, changed: Any, paths: list[str]
) -> None:
    """Also those which the entry keeps under another name; each once."""
    assert made(name, changed)["details"]["truncated"] == paths
