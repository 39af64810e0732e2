"""The commands by which an operator of the bus lets a SIEM in."""

import pytest

from processor.emit import acls
from processor.settings import Settings

GIVEN = {"HUB_AUDIT_POSTGRES_DSN": "postgresql://127.0.0.1:1/none"}
LOGIN = {"HUB_AUDIT_KAFKA_SASL_USERNAME": "forward", "HUB_AUDIT_KAFKA_SASL_PASSWORD": "x"}
ADD = "kafka-acls.sh --bootstrap-server 127.0.0.1:9092{} --add --allow-principal User:siem-acme"
LITERAL = "--resource-pattern-type literal"
COMMANDS = [
    f"{ADD} --operation Read --operation Describe --topic siem.acme.ecs {LITERAL}",
    f"{ADD} --operation Read --group siem.acme {LITERAL}",
]


@pytest.mark.parametrize(
    ("protocol", "login"),
    [
        ("PLAINTEXT", ""),
        ("SASL_PLAINTEXT", " --command-config admin.properties"),
        ("SASL_SSL", " --command-config admin.properties"),
        ("SSL", " --command-config admin.properties"),
    ],
)
def test_commands_log_in_where_the_bus_wants_it(protocol: str, login: str) -> None:
    """The tool knows nothing of TLS and logins but from a file of its operator's."""
    env = GIVEN | LOGIN | {"HUB_AUDIT_KAFKA_SECURITY_PROTOCOL": protocol}
    made = acls.commands(Settings.load(env=env), "acme", "siem.acme.ecs")
    assert made == [each.format(login) for each in COMMANDS]


@pytest.mark.parametrize("last", [True, False])
def test_rights_are_taken_back_by_the_same(*, last: bool) -> None:
    """Without a question, and the group's only when there is no other topic."""
    made = acls.removal(Settings.load(env=GIVEN), "acme", "siem.acme.ecs", last=last)
    expected = [each.format("").replace("--add", "--remove --force") for each in COMMANDS]
    assert made == expected[: 2 if last else 1]
