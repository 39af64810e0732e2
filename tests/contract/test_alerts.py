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
LABELS_OF_PROMETHEUS = {"job", "instance", "le"}
MATCHER = re.compile(r"\b([a-z_]+)\s*(?:=~|!~|!=|=)\s*\"")
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


def known_series() -> set[str]:
    """Return every name under which something declared can be asked for."""
    return RECORDED | {
        each.name + suffix for each in metrics.declared() for suffix in SUFFIXES[each.kind]
    }


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


def test_runbook_has_no_page_of_an_alert_that_is_gone() -> None:
    """Every heading that looks like an alert is one."""
    text = (DEPLOY / "runbook.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^### (HubAudit\w+)$", text, re.MULTILINE)) == sorted(NAMES)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_rules_name_what_exists(expression: str) -> None:
    """Every metric is declared, and every label that is matched is one it can have."""
    named = set(METRIC.findall(expression))
    assert named <= known_series()
    assert set(MATCHER.findall(expression)) <= set(metrics.LABELS) | LABELS_OF_PROMETHEUS
