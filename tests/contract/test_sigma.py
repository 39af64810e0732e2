"""The Sigma rules that ship, executed: each finds what it is for, and nothing else.

pySigma turns a rule into SQL for a table of events, as Hub renders them, as OCSF and as ECS; the
events are the examples, and stories that are told with them.
"""

import json
import re
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, cast

import pytest
import yaml
from sigma.backends.sqlite.sqlite import sqliteBackend
from sigma.collection import SigmaCollection
from sigma.processing.pipeline import ProcessingPipeline

from processor.siem import FORMATS
from schemas.catalogue import FormatName
from schemas.entry import Entry
from schemas.generate import ROOT
from tests.contract.siem_examples import entries

SIEM = ROOT.parent / "deploy" / "siem"
SIGMA, PIPELINES = SIEM / "sigma", SIEM / "sigma-pipelines"
TEMPLATE = json.loads((SIEM / "elasticsearch-template.json").read_text())
LABELS = TEMPLATE["template"]["mappings"]["properties"]["labels"]
LOWERED = {
    f"labels.{name}"
    for name, field in LABELS["properties"].items()
    if field.get("normalizer") == "lowercase"
}
RULES = sorted(path.stem for path in SIGMA.glob("*.yml"))
TIME: dict[FormatName, str] = {
    "hub": "occurred_at",
    "ocsf": "unmapped.occurred_at",
    "ecs": "@timestamp",
}
EXAMPLES = entries()
EACH_FORMAT = pytest.mark.parametrize("name", TIME)
SUPPORT = {"type": "support", "id": "s-1", "email": "sam@hub.example"}
HERSELF = {"type": "user", "id": "u-1002", "email": "max.member@acme.example"}

# By rule that looks at one event: the examples that it finds, of all there are.
FOUND: dict[str, set[str]] = {
    "admin_role_granted": {"role.assigned"},
    "audit_log_denied": {"audit.denied"},
    "audit_log_exported": {"audit.exported"},
    "granted_to_oneself": set(),
    "permissions_bulk_updated": {"permission.bulk_updated", "permission.bulk_updated.role"},
    "siem_delivery_stopped": set(),
    "support_changed_access": set(),
}

Step = tuple[str, float, Mapping[str, Any]]
"""An example, after how many minutes, and what of it is different."""


def logins(count: int, minutes: float, *, accounts: int = 1, ips: int = 1) -> list[Step]:
    """Tell of failed logins, of so many accounts and from so many addresses by turns."""
    return [
        (
            "auth.login_failed",
            n * minutes,
            {
                "target": {"type": "user", "email": f"user-{n % accounts}@acme.example"},
                "ip": f"198.51.100.{n % ips}",
            },
        )
        for n in range(count)
    ]


def gone(count: int, minutes: float, *, actors: int = 1, **changed: Any) -> list[Step]:
    """Tell of users deactivated and removed by turns."""
    return [
        (
            ("user.deactivated", "user.removed")[n % 2],
            n * minutes,
            {"actor": {"type": "user", "id": f"u-{n % actors}"}} | changed,
        )
        for n in range(count)
    ]


GRANTED, REVOKED = "product_access.granted", "product_access.revoked"
OTHER = {"details": {"grantee": {"type": "user", "id": "u-7"}}}
GRANTED_ROLE = "product_access.granted.role"
THE_ROLE, OTHER_ROLE = (
    {"details": {"grantee": {"type": "role", "id": each}}} for each in ("r-12", "r-13")
)


def became(role: str, **changed: Any) -> Mapping[str, Any]:
    """Return what is different of a user who has this role now."""
    return {"details": {"old": {"role": "member"}, "new": {"role": role}}} | changed


# By rule: stories that it has to find, and stories that look like them and that it must not find.
STORIES: dict[str, tuple[list[list[Step]], list[list[Step]]]] = {
    "admin_role_granted": (
        [
            [("user.created", 0, became("Owner"))],
            [("user.invited", 0, became("admin"))],
            [("user.updated", 0, became("org_admin"))],
        ],
        [
            [("user.created", 0, became("member")), ("user.updated", 1, became("viewer"))],
            [("user.created", 0, became("admin", outcome="failure"))],
            [("user.removed", 0, {"details": {"old": {"role": "admin"}}})],
            [("user.updated", 0, {"details": {"new": {"title": "Administrator"}}})],
        ],
    ),
    "login_brute_force": (
        [logins(10, 1), logins(12, 0.1, accounts=12), logins(30, 0.4, ips=2)],
        [
            logins(9, 1),
            logins(30, 2),
            logins(60, 0.1, ips=10),
            [("auth.login_success", 0, {})] * 20,
        ],
    ),
    "login_password_spray": (
        [logins(8, 1, accounts=8), logins(40, 0.5, accounts=10)],
        [logins(50, 1, accounts=7), logins(8, 10, accounts=8), logins(64, 0.5, accounts=8, ips=8)],
    ),
    "mass_deactivation": (
        [gone(5, 2), gone(12, 0.5, actors=2)],
        [gone(4, 1), gone(9, 3), gone(8, 1, actors=2), gone(9, 0.5, outcome="failure")],
    ),
    "access_granted_then_revoked": (
        [
            [(GRANTED, 0, {}), (REVOKED, 45, {})],
            [(REVOKED, 0, {}), (GRANTED, 5, {}), (REVOKED, 9, {})],
            [(GRANTED_ROLE, 0, {}), (REVOKED, 45, THE_ROLE)],
        ],
        [
            [(GRANTED, 0, {}), (REVOKED, 75, {})],
            [(REVOKED, 0, {}), (GRANTED, 5, {})],
            [(GRANTED, 0, {}), (REVOKED, 5, OTHER)],
            [(GRANTED_ROLE, 0, {}), (REVOKED, 5, OTHER_ROLE), (REVOKED, 6, {})],
            [(GRANTED, 0, {}), (REVOKED, 5, {"outcome": "failure"})],
        ],
    ),
    "granted_to_oneself": (
        [
            [("role.assigned", 0, {"actor": HERSELF})],
            [("permission.granted.user", 0, {"actor": HERSELF})],
            [("permission.bulk_updated", 0, {"actor": HERSELF})],
        ],
        [[("role.unassigned", 0, {"actor": HERSELF})], [("user.updated", 0, {"actor": HERSELF})]],
    ),
    "siem_delivery_stopped": (
        [
            [("audit.subscription_changed", 0, {"details": {"new": {"state": state}}})]
            for state in ("paused", "deleted")
        ],
        [[("audit.subscription_changed", 0, {"details": {"new": {"state": "active"}}})]],
    ),
    "support_changed_access": (
        [
            [(each, 0, {"actor": SUPPORT})]
            for each in ("user.created", "role.assigned", "permission.revoked", GRANTED)
        ],
        [[(each, 0, {"actor": SUPPORT})] for each in ("audit.viewed", "billing.plan_changed")],
    ),
}


def told(story: Sequence[Step]) -> list[Entry]:
    """Return the entries of a story: examples at other times, with something different."""
    begin = datetime.fromisoformat("2026-11-23T10:00:00.000Z")
    made = []
    for seq, (example, minutes, changed) in enumerate(story, 1):
        at = begin + timedelta(minutes=minutes)
        moment = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        entry = {**EXAMPLES[example], **changed, "seq": seq, "occurred_at": moment}
        made.append(cast("Entry", entry))
    return made


def flat(node: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return an event with a column for each path."""
    columns: dict[str, Any] = {}
    for key, value in node.items():
        if isinstance(value, dict):
            columns |= flat(value, f"{prefix}{key}.")
        else:
            columns[prefix + key] = json.dumps(value) if isinstance(value, list) else value
    return columns


def alerts(rule: str, name: FormatName, events: Sequence[Entry]) -> list[int]:
    """Return by which of the events the rule is met; of a correlation, how many each alert has.

    Capitals count in ECS alone, as in Elasticsearch's keywords that the template does not lower.
    """
    rows = [flat(json.loads(FORMATS[name].render(event))) for event in events]
    if name == "ecs":
        rows = [row | {path: row[path].lower() for path in LOWERED & row.keys()} for row in rows]
    text = (SIGMA / f"{rule}.yml").read_text()
    asked = {part for row in rows for part in row} | mentioned(text, name)
    columns = sorted({column.lower(): column for column in asked}.values())
    with sqlite3.connect(":memory:") as logs:
        logs.execute(f"PRAGMA case_sensitive_like = {name == 'ecs'}")
        logs.execute(f"CREATE TABLE logs (n, {', '.join(f'`{column}`' for column in columns)})")
        for n, row in enumerate(rows):
            values = [n, *(row.get(column) for column in columns)]
            logs.execute(f"INSERT INTO logs VALUES ({', '.join('?' * len(values))})", values)  # noqa: S608 - question marks
        backend = sqliteBackend(  # type: ignore[no-untyped-call]
            pipeline(name), timestamp_field=TIME[name], collate_nocase=name != "ecs"
        )
        (query,) = backend.convert(SigmaCollection.from_yaml(text))
        cursor = logs.execute(query)
        named = [each[0] for each in cursor.description]
        column = named.index("event_count" if "event_count" in named else "n")
        return [row[column] for row in cursor]


def mentioned(text: str, name: FormatName) -> set[str]:
    """Return the columns that a rule asks for; of events without them a table has them too."""
    fields: set[str] = set()
    for rule in yaml.safe_load_all(text):
        detection = rule.get("detection", {})
        for selection in (each for name, each in detection.items() if name != "condition"):
            for field, value in selection.items():
                path, _, modifier = field.partition("|")
                fields |= {path, value} if modifier == "fieldref" else {path}
        correlation = rule.get("correlation", {})
        fields |= set(correlation.get("group-by", ()))
        if field := correlation.get("condition", {}).get("field"):
            fields.add(field)
    if name == "hub":
        return fields
    steps = yaml.safe_load((PIPELINES / f"{name}.yml").read_text())["transformations"]
    if name == "ocsf":
        return {steps[0]["prefix"] + field for field in fields}
    mappings = [step.get("mapping", {}) for step in steps]
    return {to for each in mappings for source, to in each.items() if source in fields}


def pipeline(name: FormatName) -> ProcessingPipeline | None:
    """Return what translates the rules' fields to those of a format; Hub's own are the rules'."""
    if name == "hub":
        return None
    return ProcessingPipeline.from_yaml((PIPELINES / f"{name}.yml").read_text())


def test_directory_holds_rules_alone() -> None:
    """``sigma convert`` takes every YAML file under the directory for a rule, and reads these."""
    read = SigmaCollection.load_ruleset([SIGMA])
    documents = [list(yaml.safe_load_all((SIGMA / f"{rule}.yml").read_text())) for rule in RULES]
    assert len(read.rules) == sum(map(len, documents))


def test_guide_says_what_each_target_cannot_convert() -> None:
    """As sigma-cli refused them: Lucene knows no correlation, and none of them knows order."""
    told = (SIEM / "README.md").read_text()
    texts = {rule: (SIGMA / f"{rule}.yml").read_text() for rule in RULES}
    ordered = [rule for rule in RULES if "type: temporal_ordered" in texts[rule]]
    beyond = [rule for rule in RULES if re.search(r"\bcorrelation:|fieldref", texts[rule])]
    for target, refused in (("esql", ordered), ("splunk", ordered), ("lucene", beyond)):
        (row,) = re.findall(rf"^\| `{target}` \|.*$", told, re.MULTILINE)
        assert re.findall(r"`(\w+)`", row)[1:] == refused, target


@EACH_FORMAT
@pytest.mark.parametrize("rule", FOUND)
def test_rule_finds_its_examples_alone(rule: str, name: FormatName) -> None:
    """Of the examples of all actions it finds those it is for."""
    names = list(EXAMPLES)
    assert {names[n] for n in alerts(rule, name, list(EXAMPLES.values()))} == FOUND[rule]


@EACH_FORMAT
@pytest.mark.parametrize("rule", STORIES)
def test_rule_finds_its_stories_alone(rule: str, name: FormatName) -> None:
    """It finds the attack, and not what only looks like one: fewer, slower, of others."""
    attacks, harmless = STORIES[rule]
    for story in attacks:
        assert alerts(rule, name, told(story)), story[0]
    for story in harmless:
        assert alerts(rule, name, told(story)) == [], story


@EACH_FORMAT
def test_correlation_says_what_it_counted(name: FormatName) -> None:
    """The tenth failure is the first alert, with ten events as evidence."""
    assert alerts("login_brute_force", name, told(logins(11, 0.5))) == [10, 11]


def test_every_rule_is_tested() -> None:
    """None ships of which it is not shown that it finds something."""
    finds = {rule for rule, found in FOUND.items() if found} | set(STORIES)
    assert sorted(finds) == RULES
    assert len(RULES) == 11


@pytest.mark.parametrize("rule", RULES)
def test_rule_is_complete(rule: str) -> None:
    """Each document has an id of its own, says what it is for, how bad it is, and when it errs."""
    documents = list(yaml.safe_load_all((SIGMA / f"{rule}.yml").read_text()))
    for document in documents:
        assert {"title", "id", "description", "tags", "falsepositives", "level"} <= set(document)
        if "detection" in document:
            assert (document["logsource"]["product"], document["logsource"]["service"]) == (
                "hub",
                "audit",
            )


def test_ids_are_unique() -> None:
    """No two documents share one."""
    ids = [
        document["id"]
        for rule in RULES
        for document in yaml.safe_load_all((SIGMA / f"{rule}.yml").read_text())
    ]
    assert len(set(ids)) == len(ids)


def test_pipelines_are_those_of_the_formats() -> None:
    """One for each format but Hub's own, whose fields the rules use, and CEF, which has none."""
    assert {path.stem for path in PIPELINES.glob("*.yml")} == set(TIME) - {"hub"}


def test_sequence_of_the_guide_groups_as_its_rule_does() -> None:
    """What is written by hand, since no target converts it, asks for the fields of the pipeline."""
    *_, rule = yaml.safe_load_all((SIGMA / "access_granted_then_revoked.yml").read_text())
    steps = yaml.safe_load((PIPELINES / "ecs.yml").read_text())["transformations"]
    mapping = {k: v for step in steps for k, v in step.get("mapping", {}).items()}
    grouped = [mapping[field] for field in rule["correlation"]["group-by"]]
    assert f"sequence by {', '.join(grouped)} with" in (SIEM / "README.md").read_text()


def test_queries_of_elasticsearch_are_of_the_indices_that_have_the_template() -> None:
    """Without a name they would be of all, whatever others have under the same fields."""
    steps = yaml.safe_load((PIPELINES / "ecs.yml").read_text())["transformations"]
    (indices,) = [step["val"] for step in steps if step["type"] == "set_state"]
    assert indices.split(",") == TEMPLATE["index_patterns"]
