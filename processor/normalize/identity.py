"""``raw.identity``: logins, sessions and users become entries."""

from processor.normalize.details import differences, normalized_email
from processor.normalize.draft import NO_CHANGE, Data, Decision, Draft, Places, present, target_of
from schemas.entry import Target
from schemas.rejection import Reason, Rejection, Stage

_SELF: Places = {"$.target": "$.data.actor"}
_TYPED: Places = {"$.target": "$.data.actor", "$.target.email": "$.data.identifier"}
_SESSION: Places = {"$.target.id": "$.data.session_id", "$.session_id": "$.data.session_id"}
_USER: Places = {
    "$.target": "$.data.user",
    "$.details.old": "$.data.user",
    "$.details.new": "$.data.user",
}
_CHANGED_USER: Places = {
    "$.target": "$.data.user",
    "$.details.old": "$.data.before",
    "$.details.new": "$.data.after",
}
_INVITATION: Places = {"$.target": "$.data.invitation", "$.details.new": "$.data.invitation"}

LOGOUTS = frozenset({"logout", "admin_logout"})


def login_succeeded(data: Data) -> Decision:
    """Return a login; who logs in is the target, too."""
    if data.get("outcome") == "failure":
        detail = "$.data.outcome: success expected, a failed login has its own type"
        return Rejection(Stage.NORMALIZE, Reason.INVALID_DATA, detail)
    return Draft("auth.login_success", target_of("user", data["actor"]), _SELF)


def login_failed(data: Data) -> Decision:
    """Return a failed login; its target is the account that was tried, as far as it is known."""
    actor = data["actor"]
    target: Target = {"type": "user"}
    if actor.get("id"):
        target["id"] = actor["id"]
    typed = normalized_email(data.get("identifier") or "")
    if email := typed or normalized_email(actor.get("email") or ""):
        target["email"] = email
    return Draft("auth.login_failed", target, _TYPED if typed else _SELF)


def session_ended(data: Data) -> Decision:
    """Return a logout or an expiry, by the cause."""
    cause, session_id = data["cause"], data["session_id"]
    return Draft(
        "auth.logout" if cause in LOGOUTS else "auth.session_expired",
        target_of("session", {"id": session_id}),
        _SESSION,
        reason=cause,
        session_id=session_id,
    )


def user_created(data: Data) -> Decision:
    """Return a new user, whole."""
    user = data["user"]
    return Draft("user.created", target_of("user", user), _USER, new=user)


def user_updated(data: Data) -> Decision:
    """Return what of a user changed; a mere change of status to deactivated has its own action."""
    old, new = differences(data["before"], data["after"])
    if not old and not new:
        return NO_CHANGE
    only_status = old.keys() | new.keys() == {"status"}
    deactivated = only_status and new.get("status") == "deactivated"
    action = "user.deactivated" if deactivated else "user.updated"
    return Draft(action, target_of("user", data["user"]), _CHANGED_USER, old, new)


def user_invited(data: Data) -> Decision:
    """Return an invitation; until it is accepted its id stands for the user."""
    invitation = data["invitation"]
    target = target_of("user", present(invitation, "id", "email"))
    new = present(invitation, "email", "role", "expires_at")
    return Draft("user.invited", target, _INVITATION, new=new)


def user_deactivated(data: Data) -> Decision:
    """Return a user who may no longer log in."""
    old, new = {"status": "active"}, {"status": "deactivated"}
    return Draft("user.deactivated", target_of("user", data["user"]), _USER, old, new)


def user_removed(data: Data) -> Decision:
    """Return a user as it was."""
    user = data["user"]
    return Draft("user.removed", target_of("user", user), _USER, user)
