"""A real Prometheus with the project's own rules, and how to ask it."""

import json
import math
import signal
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from processor.local.child import Child, Launch, await_ready
from processor.local.port import free_port

DEPLOY = Path(__file__).parents[2] / "deploy" / "prometheus"
START_SECONDS_MAX = 30.0

Points = list[tuple[float, float]]


class Series(NamedTuple):
    """A series that a query found: its labels, and its values with their times."""

    labels: Mapping[str, str]
    points: Points


class Prometheus(NamedTuple):
    """A server that scrapes; ``url`` is where it answers."""

    url: str

    def series(self, query: str, begin: float, end: float, step: float) -> list[Series]:
        """Return what a query finds over a time, without values that are no number."""
        found = self._asked(
            "query_range", {"query": query, "start": begin, "end": end, "step": step}
        )
        return [Series(each["metric"], _numbers(each["values"])) for each in found["result"]]

    def firing(self) -> set[str]:
        """Return the alerts that fire."""
        alerts = self._asked("alerts", {})["alerts"]
        return {each["labels"]["alertname"] for each in alerts if each["state"] == "firing"}

    def raised(self, begin: float, end: float) -> set[str]:
        """Return the alerts that were firing or pending over a time."""
        return {each.labels["alertname"] for each in self.series("ALERTS", begin, end, 1.0)}

    def up(self) -> dict[str, float]:
        """Return for each job whether it was scraped."""
        found = self._asked("query", {"query": "min by (job) (up)"})["result"]
        return {each["metric"]["job"]: float(each["value"][1]) for each in found}

    def _asked(self, what: str, parameters: Mapping[str, Any]) -> Any:
        address = f"{self.url}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(address, timeout=20) as answer:  # noqa: S310 - ours
            return json.load(answer)["data"]


@contextmanager
def running(
    directory: Path, targets: Mapping[str, list[str]], *, every: str | None = None
) -> Iterator[Prometheus]:
    """Run the project's configuration on other targets, and at another pace where one is given."""
    directory.mkdir()
    config = directory / "prometheus.yml"
    config.write_text(yaml.safe_dump(_configuration(targets, every)))
    port = free_port()
    command = [
        *("prometheus", f"--config.file={config}", f"--storage.tsdb.path={directory / 'data'}"),
        *(f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"),
    ]
    child = Child.start(Launch(command, directory / "log", {}), outlive=False)
    url = f"http://127.0.0.1:{port}"
    try:
        await_ready(
            child,
            lambda: _answers(f"{url}/-/ready"),
            log=directory / "log",
            deadline_seconds=START_SECONDS_MAX,
        )
        yield Prometheus(url)
    finally:
        child.end(signal.SIGTERM, patience_seconds=10)


def _configuration(targets: Mapping[str, list[str]], every: str | None) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
    read["rule_files"] = [str(DEPLOY / name) for name in read["rule_files"]]
    for job in read["scrape_configs"]:
        name = job["job_name"].removeprefix("hub-audit-")
        job["static_configs"] = [{"targets": targets[name]}]
    if every:
        pace = ("scrape_interval", "scrape_timeout", "evaluation_interval")
        read["global"] = dict.fromkeys(pace, every)
    return read


def _numbers(values: list[tuple[float, str]]) -> Points:
    return [(at, float(value)) for at, value in values if math.isfinite(float(value))]


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - ours
            return bool(answer.status == 200)
    except OSError:
        return False


def until(condition: Callable[[], bool], seconds: float) -> float:
    """Wait until a condition holds and return how long it took; fail when it takes too long."""
    began = time.monotonic()
    while not condition():
        taken = time.monotonic() - began
        assert taken < seconds, f"not within {seconds:.0f} s"
        time.sleep(0.25)
    return time.monotonic() - began
