"""What is written under ``deploy/``, as whoever installs it would have it."""

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, cast

import click
import yaml

from processor.cli import main

DEPLOY = Path(__file__).parents[2] / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
PROCESSES = {"process", "serve", "forward", "defend", "maintain"}
JOBS = {"migrate", "topics"}
OPERATOR = {"operator"}
"""Where people work: it has no process of ours running."""
Document = dict[str, Any]


class Workload(NamedTuple):
    """A pod of ours: what it is called, how it runs, and what it is told."""

    name: str
    kind: str
    pod: Document
    container: Document
    environment: dict[str, str]


@cache
def rendered(folder: str, root: Path = KUBERNETES) -> list[Document]:
    """Return the documents of a kustomization, as ``kubectl apply -k`` would send them."""
    done = subprocess.run(
        ["kubectl", "kustomize", str(root / folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def of_kind(folder: str, kind: str) -> list[Document]:
    """Return the documents of a kind."""
    return [each for each in rendered(folder) if each["kind"] == kind]


def workloads(folder: str) -> list[Workload]:
    """Return every pod of ours in a kustomization."""
    maps = {each["metadata"]["name"]: each["data"] for each in of_kind(folder, "ConfigMap")}
    return [
        _workload(each, maps) for kind in ("Deployment", "Job") for each in of_kind(folder, kind)
    ]


def compose() -> Document:
    """Return the compose file."""
    document: Document = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return document


def documented(key: str) -> Document:
    """Return the one block of YAML with such a key that the operators' page has to be copied."""
    text = (DEPLOY / "README.md").read_text()
    blocks = re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    (document,) = (each for block in blocks if key in (each := yaml.safe_load(block)))
    return cast("Document", document)


def image_environment() -> dict[str, str]:
    """Return what the image itself sets."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    lines = re.findall(r"^ENV (.*)$", text, re.MULTILINE)
    return dict(pair.split("=", 1) for line in lines for pair in line.split())


def steps(instruction: str) -> Iterator[str]:
    """Yield what stands behind an instruction of the Dockerfile."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    yield from re.findall(rf"^{instruction} +(.*)$", text, re.MULTILINE)


def _workload(document: Document, maps: dict[str, dict[str, str]]) -> Workload:
    pod = document["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    environment: dict[str, str] = {}
    for source in container.get("envFrom", ()):
        environment |= maps[source["configMapRef"]["name"]]
    environment |= {each["name"]: each["value"] for each in container.get("env", ())}
    name = document["metadata"]["name"].removeprefix("hub-audit-")
    return Workload(name, document["kind"], pod, container, environment)


def command(arguments: list[str]) -> click.Command:
    """Return the command that arguments name; each has to be one."""
    found: click.Command = main
    for argument in arguments:
        assert isinstance(found, click.Group)
        found = found.commands[argument]
    return found
