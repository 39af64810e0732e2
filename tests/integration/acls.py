"""The declared table of ``deploy/kafka/acls.yaml``, and how a test puts it on a broker."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from confluent_kafka import admin as kafka_admin
from confluent_kafka.admin import AdminClient

TABLE = Path(__file__).parents[2] / "deploy" / "kafka" / "acls.yaml"
KINDS = {"topic": "TOPIC", "group": "GROUP", "transactionalId": "TRANSACTIONAL_ID"}
KINDS |= {"cluster": "BROKER"}
OPERATIONS = {"DescribeConfigs": "DESCRIBE_CONFIGS", "AlterConfigs": "ALTER_CONFIGS"}

Rule = dict[str, Any]


def rules(**names: str) -> dict[str, list[Rule]]:
    """Return the table, by principal, with its names filled in."""
    table = yaml.safe_load(TABLE.read_text())
    return {
        principal: [rule | {"name": rule["name"].format(**names)} for rule in granted]
        for principal, granted in table.items()
    }


def siem(org_id: str, topics: Iterable[str]) -> list[Rule]:
    """Return what an organization's SIEM is granted."""
    read = [{"type": "topic", "name": topic, "operations": ["Read"]} for topic in topics]
    return [*read, {"type": "group", "name": f"siem.{org_id}", "operations": ["Read"]}]


def grant(bootstrap: str, granted: Mapping[str, Iterable[Rule]]) -> None:
    """Put the rules of principals on a broker, as its administrator."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    bindings = [
        _binding(principal, rule, operation)
        for principal, its in granted.items()
        for rule in its
        for operation in rule["operations"]
    ]
    for done in admin.create_acls(bindings).values():
        done.result()


def _binding(principal: str, rule: Rule, operation: str) -> Any:
    pattern = {"prefix": "PREFIXED"}.get(rule.get("pattern", ""), "LITERAL")
    return kafka_admin.AclBinding(  # type: ignore[attr-defined] # exported in fact, as are these
        kafka_admin.ResourceType[KINDS[rule["type"]]],  # type: ignore[attr-defined]
        rule["name"],
        kafka_admin.ResourcePatternType[pattern],  # type: ignore[attr-defined]
        f"User:{principal}",
        "*",
        kafka_admin.AclOperation[OPERATIONS.get(operation, operation.upper())],  # type: ignore[attr-defined]
        kafka_admin.AclPermissionType.ALLOW,  # type: ignore[attr-defined]
    )
