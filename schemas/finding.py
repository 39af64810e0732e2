"""What Defend finds: the closed set of rules, and the finding as its topic and the API show it.

A finding is about one subject of one organization within one hour. The same entries and alerts
give the same finding under the same id, however often and in whatever order they are read; one
that grows is published again under its id with a higher ``version``.
"""

from typing import Literal, NamedTuple, get_args

from typing_extensions import TypedDict  # pydantic wants it before Python 3.12

SCHEMA_VERSION = 1
SCHEMA_ID = f"urn:hub:defend:finding:{SCHEMA_VERSION}"
FINDINGS_TOPIC = "hub.defend.findings"

HOUR_MS = 3_600_000
"""What one finding spans: an attack that goes on is another finding of every hour."""

RuleName = Literal[
    "brute_force",
    "password_spray",
    "impossible_travel",
    "grant_burst",
    "brief_access",
    "mass_deactivation",
    "export_burst",
    "endpoint_alert",
]
Severity = Literal["low", "medium", "high", "critical"]
SubjectType = Literal["account", "address", "actor"]
Status = Literal["open", "acknowledged"]

SEVERITIES: tuple[Severity, ...] = get_args(Severity)
"""From the least to the worst."""


class RuleText(NamedTuple):
    """What a rule is called, and what it says about what happened."""

    label: str
    meaning: str
    advice: str


RULE_TEXTS: dict[RuleName, RuleText] = {
    "brute_force": RuleText(
        "Brute force",
        "Ten or more failed logins to one account within ten minutes. Critical once a login from"
        " one of the attacking addresses succeeds.",
        "Lock the account or reset its password, and require a second factor; block the address.",
    ),
    "password_spray": RuleText(
        "Password spray",
        "Failed logins to ten or more accounts from one address within ten minutes. Critical once"
        " one of these accounts lets the address in, or any account does on a device not seen"
        " before and without a second factor.",
        "Block the address, and reset the password of every account that it got into.",
    ),
    "impossible_travel": RuleText(
        "Impossible travel",
        "One account logged in from two networks within fifteen minutes, from one of them on a"
        " device not seen before and without a second factor. Addresses are compared by network,"
        " not by country.",
        "Ask the person whether both were theirs; end the sessions if not.",
    ),
    "grant_burst": RuleText(
        "Privilege-grant burst",
        "One person granted roles, permissions or product access ten times within ten minutes.",
        "Ask whether it was planned; compare with the list of changes and take back what was not.",
    ),
    "brief_access": RuleText(
        "Brief access",
        "One person gave access and took the same access away again within thirty minutes, counted"
        " from the first time it was given. Low within two minutes: it may have been a mistake.",
        "Look at what the account did in between.",
    ),
    "mass_deactivation": RuleText(
        "Mass deactivation",
        "One person deactivated or removed ten or more users within thirty minutes.",
        "Ask whether it was planned; stop the actor's sessions if not.",
    ),
    "export_burst": RuleText(
        "Export burst",
        "The audit log was taken away five or more times by one person within thirty minutes.",
        "Ask what for; look at what was asked for in each export.",
    ),
    "endpoint_alert": RuleText(
        "Endpoint alert and privileged act",
        "An endpoint raised an alert, and within fifteen minutes the same user, or somebody at the"
        " same address, did something privileged: let others in or turned them out, gave rights,"
        " changed roles, billing or a SIEM's subscription, took the log away, or logged in on a"
        " device not seen before.",
        "Isolate the host, end the sessions, and review what was changed.",
    ),
}


class Subject(TypedDict):
    """Whom or what a finding is about."""

    type: SubjectType
    value: str


SEQS_TOLD_MAX, ALERTS_TOLD_MAX = 20_000, 500
"""What a record of the topic can hold of them, whatever their length."""


class Evidence(TypedDict):
    """What a finding rests on: numbers of the organization's entries, ids of endpoint alerts.

    The topic has the first 20,000 and the first 500 of them; the API has them all.
    """

    seqs: list[int]
    alerts: list[str]


class Finding(TypedDict):
    """Something that a security person should look at. Times are ``YYYY-MM-DDTHH:MM:SS.mmmZ``."""

    schema_version: int
    finding_id: str
    version: int
    org_id: str
    rule: RuleName
    severity: Severity
    subject: Subject
    hour: str
    first_at: str
    last_at: str
    actors: list[str]
    addresses: list[str]
    evidence: Evidence
    status: Status


def as_told(finding: Finding) -> Finding:
    """Return a finding as the topic has it: a record holds a million bytes."""
    seqs, alerts = finding["evidence"]["seqs"], finding["evidence"]["alerts"]
    told: Evidence = {"seqs": seqs[:SEQS_TOLD_MAX], "alerts": alerts[:ALERTS_TOLD_MAX]}
    return {**finding, "evidence": told}
