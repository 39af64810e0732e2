"""The typed exceptions: outages and stops. Bad input is none; it is a value (a ``Rejection``).

::

    HubAuditError
    +-- Outage               the lane resets and tries again; nothing is lost
    |   +-- DatabaseOutage
    |   +-- BusOutage
    |   |   +-- TopicRefused one topic is at fault, the bus is not
    |   +-- Doubt            a Kafka transaction whose outcome is not known
    +-- Fenced               another worker owns the lane now
    +-- LaneStopped          an operator has to decide; the message says what
    +-- StartRefused         configuration or environment is not fit to start
    +-- SearchTooSlow        a search came nowhere within its budget of time
    +-- UnknownOrganization  nothing was ever stored of it: mistyped, or too new
"""


class HubAuditError(Exception):
    """Root of everything this project raises on purpose."""


class Outage(HubAuditError):
    """Something outside is away or unsure; the lane resets, nothing is lost."""


class DatabaseOutage(Outage):
    """Postgres does not answer, or ended the connection."""


class BusOutage(Outage):
    """Kafka does not answer, or refused a request that may pass later."""


class TopicRefused(BusOutage):
    """A topic that is missing, forbidden or too narrow; records for others would have passed."""

    def __init__(self, said: str, topics: frozenset[str] = frozenset()) -> None:
        """Keep which topics are at fault, as they are named on Kafka, where that is known."""
        self.topics = topics
        super().__init__(said)


class Doubt(Outage):
    """A Kafka transaction whose outcome is not known; taking the lane over again settles it."""


class Fenced(HubAuditError):
    """Another worker took the lane over; this one's work on it is void."""


class LaneStopped(HubAuditError):
    """The lane cannot go on by itself; the message says what was found and what to do."""


class SearchTooSlow(HubAuditError):
    """The entries of the shortest stretch of time took longer than a search may take."""


class StartRefused(HubAuditError):
    """No start: the message lists every problem found and what to do about each."""

    def __init__(self, problems: list[str]) -> None:
        """Keep the list of problems, one sentence each."""
        self.problems = problems
        super().__init__("\n".join(problems))


class UnknownOrganization(HubAuditError):
    """An organization of which there never was an entry: its name may be mistyped."""

    def __init__(self, org_id: str, meant: str | None = None) -> None:
        """Say so, and which one is known that could be meant."""
        hint = f": did you mean {meant}?" if meant else ""
        super().__init__(f"the log has never had an entry of {org_id!r}{hint}")
