"""``raw.identity``: logins, sessions and users become entries."""

from processor.normalize.details import differences, normalized_email
from processor.normalize.draft import (
    NO_CHANGE,
    Data,
    Decision,
    Draft,
    present,
    target_of,
    unknown,
)
from schemas.entry import Target
from schemas.rejection import Reason, Rejection, Stage


def login_succeeded(data: Data) -> Decision:
    """Return a login; who logs in is the target, too."""
    if data.get("outcome") == "failure":
        detail = "$.data.outcome: success expected, a failed login has its own type"
        return Rejection(Stage.NORMALIZE, Reason.INVALID_DATA, detail)
    extra = present(data, "method", "mfa", "idp", "new_device")
    return Draft("auth.login_success", target_of("user", data["actor"]), extra=extra)


def login_failed(data: Data) -> Decision:
    """Return a failed login; its target is the account that was tried, as far as it is known."""
    actor = data["actor"]
    target: Target = {"type": "user"}
    if actor.get("id"):
        target["id"] = actor["id"]
    email = data.get("identifier") or actor.get("email")
    if email:
        target["email"] = normalized_email(email)
    return Draft("auth.login_failed", target, extra=present(data, "method", "attempt"))


def session_ended(data: Data) -> Decision:
    """Return a logout or an expiry, by the cause."""
    cause, session_id = data["cause"], data["session_id"]
    action = "auth.logout" if cause in {"logout", "admin_logout"} else "auth.session_expired"
    return Draft(
        action,
        {"type": "session", "id": session_id},
        reason=cause,
        extra=present(data, "started_at"),
        session_id=session_id,
    )


def user_created(data: Data) -> Decision:
    """Return a new user, whole."""
    return Draft("user.created", target_of("user", data["user"]), new=data["user"])


def user_updated(data: Data) -> Decision:
    """Return what of a user changed; a mere change of status to deactivated has its own action."""
    old, new = differences(data["before"], data["after"])
    if not old and not new:
        return NO_CHANGE
    only_status = old.keys() | new.keys() == {"status"}
    deactivated = only_status and new.get("status") == "deactivated"
    return Draft(
        "user.deactivated" if deactivated else "user.updated",
        target_of("user", data["user"]),
        old=old,
        new=new,
        extra={"user": unknown(data["user"], "id", "email", "name")},
    )


def user_invited(data: Data) -> Decision:
    """Return an invitation; until it is accepted its id stands for the user."""
    invitation = data["invitation"]
    return Draft(
        "user.invited",
        target_of("user", present(invitation, "id", "email")),
        new=present(invitation, "email", "role", "expires_at"),
        extra={"invitation": unknown(invitation, "id", "email", "role", "expires_at")},
    )


def user_deactivated(data: Data) -> Decision:
    """Return a user who may no longer log in."""
    return Draft(
        "user.deactivated",
        target_of("user", data["user"]),
        old={"status": "active"},
        new={"status": "deactivated"},
        extra={"user": unknown(data["user"], "id", "email", "name")},
    )


def user_removed(data: Data) -> Decision:
    """Return a user as it was."""
    return Draft("user.removed", target_of("user", data["user"]), old=data["user"])
