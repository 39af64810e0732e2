"""What Defend looks for. Pure: the same set of signals gives the same findings in any order.

A rule judges one subject (an account, an address, an actor) in one hour. It sees every signal of
the subject from one window before the hour to one after it, and an attack counts in the hours in
which its windows end; what lies around an alert or a login, in the hour of that. Nothing else is
remembered, so that order, batching, repetition and restarts cannot matter: all of them end in the
same set.
"""

from processor.defend.rules.hours import Found, Hours, Key, OrgHour, hour_of, hours_of
from processor.defend.rules.signals import LATE_MS_MAX, of_alert, of_entry
from processor.defend.rules.table import ACTIONS, RULES, WINDOW_MS_MAX
from schemas.signal import Signal

__all__ = [
    "ACTIONS",
    "LATE_MS_MAX",
    "RULES",
    "WINDOW_MS_MAX",
    "Found",
    "Hours",
    "Key",
    "OrgHour",
    "Signal",
    "hour_of",
    "hours_of",
    "of_alert",
    "of_entry",
]
