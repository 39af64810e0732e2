"""Whom an entry is about, where that is not its target."""

import pytest

from processor.siem.reading import read
from tests.property.siem_entries import entry_of


@pytest.mark.parametrize(
    ("kind", "reason", "own"),
    [
        ("user", "logout", True),
        ("user", "idle_timeout", True),
        ("user", None, True),
        ("user", "admin_logout", False),
        ("user", "revoked", False),
        ("support", "revoked", False),
        ("support", "logout", False),
        ("service", "absolute_timeout", False),
        ("system", "idle_timeout", False),
        ("anonymous", None, False),
    ],
)
@pytest.mark.parametrize("action", ["auth.logout", "auth.session_expired"])
def test_who_ends_anothers_session_is_not_logged_out(
    action: str, kind: str, reason: str | None, *, own: bool
) -> None:
    """Of a user alone it is known, and not where the session was taken away."""
    details = {} if reason is None else {"reason": reason}
    actor = {"type": kind, "id": "u-1"}
    reading = read(entry_of(action, "session", actor=actor, details=details))
    assert (reading.account == actor) == own
    assert reading.of_another != own


def test_who_logs_in_is_the_account_whoever_says_so() -> None:
    """A service that reports a login is no account of the organization."""
    target = {"type": "user", "id": "u-2"}
    entry = entry_of("auth.login_success", "user", actor={"type": "service"}, target=target)
    assert read(entry).account == target
