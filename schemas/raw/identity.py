"""Topic ``raw.identity``: logins, sessions, users."""

from typing import Literal, NotRequired

from pydantic import TypeAdapter, with_config
from typing_extensions import TypedDict

from schemas.raw.shared import CONTRACT, Common, Contracts, JsonObject, Reference, Text


@with_config(CONTRACT)
class LoginSucceeded(Common):
    """Somebody logged in."""

    method: str
    mfa: NotRequired[bool | None]
    idp: NotRequired[Text]
    new_device: NotRequired[bool | None]


@with_config(CONTRACT)
class LoginFailed(Common):
    """Somebody did not get in; ``identifier`` is what was typed, never the password."""

    reason: str  # type: ignore[misc] # required here, optional elsewhere
    method: str
    identifier: NotRequired[Text]
    attempt: NotRequired[int | None]


@with_config(CONTRACT)
class SessionEnded(Common):
    """A session is over, by logout or by itself."""

    session_id: str
    cause: Literal["logout", "admin_logout", "idle_timeout", "absolute_timeout", "revoked"]
    started_at: NotRequired[Text]


@with_config(CONTRACT)
class User(TypedDict):
    """A whole user."""

    id: str
    email: str
    name: NotRequired[Text]
    role: NotRequired[Text]
    status: NotRequired[Text]


@with_config(CONTRACT)
class UserCreated(Common):
    """A user was created."""

    user: User


@with_config(CONTRACT)
class UserUpdated(Common):
    """A user was changed; before and after are complete."""

    user: Reference
    before: JsonObject
    after: JsonObject


@with_config(CONTRACT)
class Invitation(TypedDict):
    """An invitation that has not been accepted."""

    id: str
    email: str
    role: NotRequired[Text]
    expires_at: NotRequired[Text]


@with_config(CONTRACT)
class UserInvited(Common):
    """Somebody was invited."""

    invitation: Invitation


@with_config(CONTRACT)
class UserDeactivated(Common):
    """A user may no longer log in."""

    user: Reference


@with_config(CONTRACT)
class UserRemoved(Common):
    """A user is gone."""

    user: Reference


CONTRACTS: Contracts = {
    "identity.login.succeeded": TypeAdapter(LoginSucceeded),
    "identity.login.failed": TypeAdapter(LoginFailed),
    "identity.session.ended": TypeAdapter(SessionEnded),
    "identity.user.created": TypeAdapter(UserCreated),
    "identity.user.updated": TypeAdapter(UserUpdated),
    "identity.user.invited": TypeAdapter(UserInvited),
    "identity.user.deactivated": TypeAdapter(UserDeactivated),
    "identity.user.removed": TypeAdapter(UserRemoved),
}

NOT_AUDITED = frozenset({"identity.token.refreshed"})
"""Types that are no audit events, whatever they carry."""
