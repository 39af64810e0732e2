"""Who may read a SIEM topic: literal ACLs, set where the bus has an authorizer and lets us.

The client knows the requests but has no method for them.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from aiokafka.errors import ClusterAuthorizationFailedError, SecurityDisabled, for_code
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest

from processor.emit.topics import connected
from processor.settings import Settings

TOPIC, GROUP = 2, 3
LITERAL, ALLOW, READ, DESCRIBE = 3, 3, 3, 8
"""Kafka's own numbers."""

ADMIN_FILE = "admin.properties"
"""What stands in commands for a file that only their operator has."""

Outcome = Literal["set", "open", "by_hand"]


class Acl(NamedTuple):
    """One operation that a principal may do on one topic or group, from anywhere."""

    principal: str
    kind: int
    name: str
    operation: int

    def parts(self) -> tuple[int, str, int, str, str, int, int]:
        """Return it as requests have it."""
        return self.kind, self.name, LITERAL, self.principal, "*", self.operation, ALLOW


def principal_of(org_id: str) -> str:
    """Return as whom an organization's SIEM has to log in at the bus."""
    return f"User:siem-{org_id}"


def group_of(org_id: str) -> str:
    """Return the consumer group of an organization's SIEM."""
    return f"siem.{org_id}"


def of_topic(org_id: str, topic: str) -> list[Acl]:
    """Return what lets an organization's SIEM read its topic."""
    principal = principal_of(org_id)
    return [Acl(principal, TOPIC, topic, operation) for operation in (READ, DESCRIBE)]


def of_group(org_id: str) -> list[Acl]:
    """Return what lets an organization's SIEM keep its place."""
    return [Acl(principal_of(org_id), GROUP, group_of(org_id), READ)]


def commands(settings: Settings, org_id: str, topic: str) -> list[str]:
    """Return what an operator of the bus runs to the same end, with the file of their own login."""
    return _commands(settings, "--add", org_id, topic)


def removal(settings: Settings, org_id: str, topic: str, *, last: bool) -> list[str]:
    """Return what an operator runs to take them back; of the group after the last topic alone."""
    made = _commands(settings, "--remove --force", org_id, topic)
    return made if last else made[:1]


def _commands(settings: Settings, deed: str, org_id: str, topic: str) -> list[str]:
    kafka = settings.kafka
    login = "" if kafka.security_protocol == "PLAINTEXT" else f" --command-config {ADMIN_FILE}"
    begin = f"kafka-acls.sh --bootstrap-server {kafka.bootstrap_servers}{login} {deed}"
    end = "--resource-pattern-type literal"
    principal = f"--allow-principal {principal_of(org_id)}"
    return [
        f"{begin} {principal} --operation Read --operation Describe --topic {topic} {end}",
        f"{begin} {principal} --operation Read --group {group_of(org_id)} {end}",
    ]


async def allow(settings: Settings, acls: Sequence[Acl]) -> Outcome:
    """Set ACLs; tell whether they are set, not needed, or not ours to set. Raises BusOutage."""
    async with connected(settings) as admin:
        for acl in acls:
            answer = await admin._send_request(CreateAclsRequest(*acl.parts()))  # noqa: SLF001
            outcome = _outcome(answer.creation_responses)
            if outcome != "set":
                return outcome
    return "set"


async def disallow(settings: Settings, acls: Sequence[Acl]) -> Outcome:
    """Take ACLs back; those that are not there do no harm. Raises BusOutage."""
    async with connected(settings) as admin:
        for acl in acls:
            answer = await admin._send_request(DeleteAclsRequest(*acl.parts()))  # noqa: SLF001
            outcome = _outcome(answer.filter_responses)
            if outcome != "set":
                return outcome
    return "set"


def _outcome(responses: Sequence[Sequence[object]]) -> Outcome:
    for code, said, *_ in responses:
        if code == SecurityDisabled.errno:
            return "open"
        if code == ClusterAuthorizationFailedError.errno:
            return "by_hand"
        if code:
            raise for_code(code)(said)
    return "set"
