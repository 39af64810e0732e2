"""The alerts: each is tested both ways, has its page in the runbook, and names what exists."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from processor import metrics

DEPLOY = Path(__file__).parents[2] / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
TESTS = sorted((PROMETHEUS / "tests").glob("*.yml"))
SUFFIXES = {"counter": ("",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
METRIC = re.compile(r"\bhub_audit[a-z0-9_:]+\b")
LABELS_OF_PROMETHEUS = {"job", "instance", "le", "alertname", "alertstate"}
SELECTOR = re.compile(r"([a-zA-Z_][\w:]*)\{([^}]*)\}")
MATCHER = re.compile(r"(\w+)\s*(=~|!~|!=|=)\s*\"([^\"]*)\"")
QUESTIONS = ["**What it means.**", "**What to look at.**", "**What to do.**"]


@cache
def rules(name: str) -> tuple[dict[str, Any], ...]:
    """Return the rules of a file."""
    read = yaml.safe_load((PROMETHEUS / name).read_text(encoding="utf-8"))
    return tuple(rule for group in read["groups"] for rule in group["rules"])


ALERTS = rules("alerts.yml")
NAMES = [rule["alert"] for rule in ALERTS]
RECORDED = {rule["record"] for rule in rules("rules.yml")}
EXPRESSIONS = [rule["expr"] for rule in (*ALERTS, *rules("rules.yml"))]


@cache
def labels_of() -> dict[str, tuple[str, ...]]:
    """Return every name under which something declared can be asked for, with its labels."""
    return dict.fromkeys(RECORDED, ()) | {
        each.name + suffix: each.labels
        for each in metrics.declared()
        for suffix in SUFFIXES[each.kind]
    }


def unknown(expression: str) -> list[str]:
    """Return what it asks for and cannot be: metrics, labels they have not, values of none."""
    return [name for name in METRIC.findall(expression) if name not in labels_of()] + [
        f"{name}{{{label}{operator}{value!r}}}"
        for name, matchers in SELECTOR.findall(expression)
        for label, operator, value in MATCHER.findall(matchers)
        if label not in LABELS_OF_PROMETHEUS
        if label not in labels_of().get(name, ()) or not can_be(label, operator, value)
    ]


def can_be(label: str, operator: str, value: str) -> bool:
    """Tell whether a label ever has a value, or one of a pattern."""
    known = metrics.LABELS[label].known
    if known is None:
        return True
    return any(map(re.compile(value).fullmatch, known)) if "~" in operator else value in known


def section(heading: str) -> str:
    """Return what the runbook has under a heading."""
    text = (DEPLOY / "runbook.md").read_text(encoding="utf-8")
    _, found, rest = text.partition(f"\n### {heading}\n")
    assert found, f"the runbook has no heading {heading}"
    return re.split(r"\n##", rest)[0]


@pytest.mark.parametrize("name", NAMES)
def test_alert_is_tested_both_ways(name: str) -> None:
    """Somebody has written down when it fires, and something like it that does not."""
    tests = [case for path in TESTS for case in yaml.safe_load(path.read_text())["tests"]]
    expected = [
        bool(alert["exp_alerts"])
        for case in tests
        for alert in case["alert_rule_test"]
        if alert["alertname"] == name
    ]
    assert set(expected) == {False, True}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_alert_leads_to_its_page(alert: dict[str, Any]) -> None:
    """It says how urgent it is, and its page says what it means, what to look at and to do."""
    assert alert["labels"]["severity"] in {"page", "ticket"}
    assert alert["annotations"]["runbook"] == f"runbook.md#{alert['alert'].lower()}"
    text = section(alert["alert"])
    assert [question for question in QUESTIONS if question in text] == QUESTIONS


def test_what_is_promised_within_a_minute_is_judged_often_enough() -> None:
    """A group says so itself: what judges it in a cluster has another default than ours."""
    groups = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text(encoding="utf-8"))["groups"]
    ours = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text(encoding="utf-8"))
    quick = [group for group in groups if any(rule.get("for") == "20s" for rule in group["rules"])]
    assert "HubAuditDatabaseAway" in {rule["alert"] for group in quick for rule in group["rules"]}
    for group in quick:
        assert group["interval"] == ours["global"]["evaluation_interval"], group["name"]


def test_runbook_has_no_page_of_an_alert_that_is_gone() -> None:
    """Every heading that looks like an alert is one."""
    text = (DEPLOY / "runbook.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^### (HubAudit\w+)$", text, re.MULTILINE)) == sorted(NAMES)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_rules_name_what_exists(expression: str) -> None:
    """Every metric is declared, and has the labels and values by which it is chosen."""
    assert unknown(expression) == []


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_rules_are_tested_with_what_exists(path: Path) -> None:
    """So are the series on which the rules are tried."""
    given = [
        series["series"]
        for case in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]
        for series in case["input_series"]
    ]
    assert [each for each in given if unknown(each)] == []


@pytest.mark.parametrize(
    "expression",
    [
        'sum(hub_audit_lane{lane_state="stopped"})',
        'sum(hub_audit_lanes{state="stopped"})',
        'sum(hub_audit_lanes{lane_state="stoped"})',
        'sum(hub_audit_lanes{lane_state!="flow"})',
        'sum(rate(hub_audit_stage_seconds_bucket{le="1", stage=~"stored|emitted"}[5m]))',
        'sum(hub_audit_lanes{cause="fenced"})',
        'up{jobs="hub-audit-process"}',
    ],
)
def test_what_does_not_exist_is_seen(expression: str) -> None:
    """A wrong name, label or value would make an alert that never fires."""
    assert unknown(expression)
