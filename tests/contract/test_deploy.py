"""The image, the compose file and what is generated for installers, against the code."""

import importlib.util
import json
import re
from types import ModuleType

import pytest
import yaml

from processor.settings import Settings, variables
from processor.store import sql
from tests.contract.manifests import (
    DEPLOY,
    JOBS,
    PROCESSES,
    command,
    compose,
    documented,
    image_environment,
    of_kind,
    steps,
)

SERVICE_KEYS = {
    *("image", "build", "restart", "read_only", "tmpfs", "cap_drop", "security_opt", "command"),
    *("stop_grace_period", "environment", "secrets", "depends_on", "healthcheck", "volumes"),
    *("ports", "shm_size"),
}


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    """Give the module that writes the generated files."""
    spec = importlib.util.spec_from_file_location("generate", DEPLOY / "generate.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_setting_says_what_it_is(generate: ModuleType) -> None:
    """In a sentence of its own; what is counted in something says in what."""
    page = generate.settings_page()
    rows = [row.strip("| ").split(" | ") for row in re.findall(r"^\| `HUB_.+", page, re.MULTILINE)]
    said = {row[0].strip("`"): row[-1] for row in rows}
    assert said.keys() == variables().keys()
    assert {name for name, what in said.items() if not what.endswith(".")} == set()
    assert len(set(said.values())) == len(said)
    units = {"_MS": "millisecond", "_SECONDS": "second", "_SECONDS_MAX": "second", "_DAYS": "day"}
    for name, what in said.items():
        for ending, unit in units.items():
            assert unit in what.lower() or not name.endswith(ending), name


def test_generated_files_are_what_the_code_says(generate: ModuleType) -> None:
    """Topics, users and settings: run `python deploy/generate.py` after a change."""
    for path, text in generate.files().items():
        if path.name != "licenses.md":
            assert path.read_text() == text, path


def test_installation_may_have_other_settings(generate: ModuleType) -> None:
    """Its topics have its lanes and days, its users the rights on its own transactions."""
    given = {"environment": "staging", "group": "g", "lanes": "24", "retention_days": "30"}
    assert given.keys() == set(generate.SETTABLE)
    made = {path.name: text for path, text in generate.files(**given).items()}
    topics = [each["spec"] for each in yaml.safe_load_all(made["kafka-topics.yaml"])]
    assert {each["partitions"] for each in topics} == {24}
    kept = {each["config"]["retention.ms"] for each in topics}
    assert kept == {str(days * 86_400_000) for days in (7, 30)}
    assert "name: staging.g.9\n" in made["kafka-users.yaml"]
    assert "name: g.forward\n" in made["kafka-users.yaml"]
    assert "production" not in made["kafka-users.yaml"]


def test_licenses_are_complete_and_allow_what_we_do(generate: ModuleType) -> None:
    """Every locked package has its line, and none would bind what links to it."""
    text = (DEPLOY / "licenses.md").read_text()
    rows = re.findall(r"^\| (\S+) \| (\S+) \| (.+) \|$", text, re.MULTILINE)[1:]
    assert [(name, version) for name, version, _ in rows] == generate.locked()
    stated = {name: terms for name, _, terms in rows}
    assert not [name for name, terms in stated.items() if "GPL" in terms]
    assert not [name for name, terms in stated.items() if terms == "none stated"]


def test_compose_file_is_whole() -> None:
    """All processes run in it; whatever a service names is declared, and every image is exact."""
    file = compose()
    services = file["services"]
    assert {*PROCESSES, *JOBS, "kafka", "postgres", "prometheus", "grafana"} == set(services)
    for name, service in services.items():
        assert set(service) <= SERVICE_KEYS, name
        assert re.search(r":v?\d+\.\d+", service["image"]), name
        assert set(service.get("secrets", ())) <= set(file["secrets"])
        assert set(service.get("depends_on", ())) <= set(services)
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in file["volumes"] or (DEPLOY / source).is_dir()
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:")
        assert "healthcheck" in service
    kept = {volume.partition(":")[2] for volume in services["kafka"]["volumes"]}
    assert services["kafka"]["environment"]["KAFKA_LOG_DIRS"] in kept
    for name in PROCESSES | JOBS:
        assert command(services[name]["command"]).name == services[name]["command"][-1]
        known = {*variables(), *(f"{variable}_FILE" for variable in variables())}
        assert set(services[name]["environment"]) <= known
        assert services[name]["read_only"] is True
        assert services[name]["cap_drop"] == ["ALL"]


def test_secrets_of_the_compose_file_get_into_no_commit() -> None:
    """Where people are to write them is a folder that git leaves alone."""
    ignored = (DEPLOY.parent / ".gitignore").read_text().splitlines()
    files = [DEPLOY / secret["file"] for secret in compose()["secrets"].values()]
    folders = {f"/{file.parent.relative_to(DEPLOY.parent)}/" for file in files}
    assert folders
    assert folders <= set(ignored)


def test_prometheus_finds_every_process() -> None:
    """What is scraped is a service of the compose file, at the port where it serves."""
    text = (DEPLOY / "prometheus" / "prometheus.yml").read_text()
    settings = Settings()
    ports = dict.fromkeys(PROCESSES, settings.http.port) | {"serve": settings.serve.port}
    targets = dict(re.findall(r'targets: \["(\w+):(\d+)"\]', text))
    assert targets == {name: str(port) for name, port in ports.items()}


def test_alertmanager_is_one_comment_away() -> None:
    """The block to be uncommented is one, and the page's route goes by the alerts' label."""
    text = (DEPLOY / "prometheus" / "prometheus.yml").read_text()
    (block,) = re.findall(r"^# alerting:\n(?:# .*\n)+", text, re.MULTILINE)
    given = yaml.safe_load(re.sub(r"^# ", "", block, flags=re.MULTILINE))
    (manager,) = given["alerting"]["alertmanagers"]
    assert manager == {"static_configs": [{"targets": ["alertmanager:9093"]}]}
    given = documented("route")
    names = {each["name"] for each in given["receivers"]}
    (page,) = given["route"]["routes"]
    assert {given["route"]["receiver"], page["receiver"]} == names
    assert page["matchers"] == ['severity = "page"']
    labelled = (DEPLOY / "prometheus" / "alerts.yml").read_text()
    assert set(re.findall(r"severity: (\w+)", labelled)) == {"page", "ticket"}


def test_whoever_installs_by_hand_gets_what_the_cluster_has() -> None:
    """The block to be copied is as safe as Kubernetes' settings are; so are the brokers."""
    page = (DEPLOY / "README.md").read_text(encoding="utf-8")
    text = page.partition("\n## By hand\n")[2].partition("\n## ")[0]
    given = dict(re.findall(r"^export (HUB_AUDIT_\w+)=(.*)$", text, re.MULTILINE))
    (ours,) = (
        each["data"]
        for each in of_kind("production", "ConfigMap")
        if each["metadata"]["name"].startswith("hub-audit-settings")
    )
    for name in ("ENVIRONMENT", "KAFKA_REPLICATION_FACTOR", "KAFKA_SECURITY_PROTOCOL"):
        assert given[f"HUB_AUDIT_{name}"] == ours[f"HUB_AUDIT_{name}"]
    (block,) = re.findall(r"^```properties\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    said = dict(re.findall(r"^([a-z.]+)=(.*)$", block, re.MULTILINE))
    (kafka,) = of_kind("production", "Kafka")
    config = kafka["spec"]["kafka"]["config"]
    assert said == {name: json.dumps(value) for name, value in config.items()}


def test_image_is_pinned_and_drops_all_rights() -> None:
    """Exact bases of one Python, hashes for every package, a user that is a number."""
    assert list(steps("FROM")) == ["${BUILD_IMAGE} AS build", "${PYTHON_IMAGE}"]
    text = (DEPLOY / "Dockerfile").read_text()
    slim = re.search(r"^ARG PYTHON_IMAGE=python:(\d+\.\d+\.\d+)-slim-(\w+)$", text, re.MULTILINE)
    full = re.search(r"^ARG BUILD_IMAGE=python:(\d+\.\d+\.\d+)-(\w+)$", text, re.MULTILINE)
    assert slim is not None
    assert full is not None
    assert slim.groups() == full.groups()
    assert list(steps("USER")) == ["10001:10001"]
    assert not re.search(r"apt-get|gcc|build-essential|curl", text)
    assert text.count("--require-hashes --only-binary=:all:") == 2
    known = variables()
    assert [n for n in image_environment() if n.startswith("HUB_AUDIT") and n not in known] == []


def test_image_copies_what_is_let_through() -> None:
    """What the build copies exists and is not left out, and secrets beside it are."""
    ignore = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    let = {line[1:] for line in ignore if line.startswith("!")}
    copied = {
        source
        for step in steps("COPY")
        if not step.startswith("--from")
        for source in step.split()[:-1]
    }
    assert copied == let
    assert all((DEPLOY.parent / source).exists() for source in copied)
    assert "*" in ignore


def test_rights_of_the_forwarder_are_those_of_the_page() -> None:
    """What the security model says of the role is what the schema gives it, and no more."""
    granted: dict[frozenset[str], set[str]] = {}
    to_forwarder = r"GRANT ([\w,]+) ON TABLE public\.(\w+) TO hub_audit_forwarder;"
    for rights, table in re.findall(to_forwarder, sql.text("schema.sql")):
        granted.setdefault(frozenset(rights.split(",")), set()).add(table)
    page = (DEPLOY / "security.md").read_text(encoding="utf-8")
    (said,) = re.findall(r"Of all organizations it may (.*?)\.\s", page, re.DOTALL)
    told = {
        frozenset(re.findall(r"\b[A-Z]+\b", part)): set(re.findall(r"`(\w+)`", part))
        for part in said.split(";")
    }
    assert told == granted
