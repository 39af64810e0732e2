"""The Kubernetes manifests against the code: probes, ports, settings, rights, roles, scale."""

import re
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from starlette.routing import Route

from processor import health
from processor.api.serve import STOP_SECONDS
from processor.defend.app import topics
from processor.doctor import Level
from processor.doctor import store as doctor
from processor.emit.acls import principal_of
from processor.settings import Settings
from processor.store.survey import Server
from tests.contract.manifests import (
    DEPLOY,
    JOBS,
    OPERATOR,
    PROCESSES,
    Workload,
    command,
    compose,
    documented,
    image_environment,
    of_kind,
    rendered,
    workloads,
)
from tests.integration.secure import Authority

OVERLAYS = ("development", "production")
RULE_FILES = ("rules.yml", "alerts.yml")
OURS = ("apps/v1", "batch/v1", "v1", "policy/v1", "networking.k8s.io/v1")
DSN = "postgresql://u:p@db/hub_audit?sslmode=verify-full&sslrootcert={}/postgres-ca/ca.crt"


@pytest.mark.parametrize("folder", ["base", *OVERLAYS])
def test_manifests_are_valid(folder: str) -> None:
    """Every document of Kubernetes' own kinds passes its schema; the rest is of known kinds."""
    foreign = set()
    for document in rendered(folder):
        if document["apiVersion"] in OURS:
            kubernetes_validate.validate(document, "1.34", strict=True)
        else:
            foreign.add(document["kind"])
    wanted = {"Kafka", "KafkaNodePool", "KafkaTopic", "KafkaUser", "Cluster", "ScaledObject"}
    assert foreign == (
        wanted | {"PodMonitor", "PrometheusRule"} if folder == "production" else set()
    )


@pytest.mark.parametrize("folder", OVERLAYS)
def test_every_process_is_deployed_with_settings_that_load(folder: str, tmp_path: Path) -> None:
    """All processes and jobs are there, and each starts from what it is told and given."""
    found = {each.name: each for each in workloads(folder)}
    assert set(found) == PROCESSES | JOBS | OPERATOR
    authority = Authority(tmp_path)
    for each in found.values():
        place = tmp_path / each.name
        _mount(each, place, authority)
        given = {
            name: value.replace("/etc/hub-audit", str(place))
            for name, value in (image_environment() | each.environment).items()
        }
        settings = Settings.load(env=given)
        assert settings.environment == folder
        assert (settings.http.host, settings.serve.host) == ("0.0.0.0", "0.0.0.0")  # noqa: S104
        if each.name in OPERATOR | {"serve"}:  # who looks whether it is there, and who needs it
            assert settings.serve.cursor_secret is not None
        if folder == "production":
            assert settings.kafka.security_protocol == "SASL_SSL"
            assert settings.kafka.replication_factor == 3


def _mount(workload: Workload, place: Path, authority: Authority) -> None:
    """Put files where the pod's volumes would be: of the names that its settings expect."""
    ours = [m for m in workload.container["volumeMounts"] if m["mountPath"] != "/tmp"]  # noqa: S108
    assert {m["name"] for m in ours} <= {v["name"] for v in workload.pod["volumes"]}
    for mount in ours:
        assert mount["readOnly"] is True
        at = place / Path(mount["mountPath"]).relative_to("/etc/hub-audit")
        at.mkdir(parents=True)
        (at / "ca.crt").write_bytes(authority.file.read_bytes())
        (at / "dsn").write_text(DSN.format(place))
        for name in ("password", "cursor-secret"):
            (at / name).write_text("a secret of at least thirty-two characters\n")
    if not (place / "postgres-ca").exists():
        (place / "postgres" / "dsn").write_text("postgresql://u:p@db/hub_audit\n")


@pytest.mark.parametrize("folder", ["base", *OVERLAYS])
def test_commands_ports_and_probes_are_those_of_the_code(folder: str) -> None:
    """What is run is a command, what is asked is served, and where it listens."""
    settings, paths = Settings(), _health_paths()
    for each in workloads(folder):
        if each.name in OPERATOR:
            assert each.container["command"] == ["sleep", "infinity"]
            continue
        assert command(each.container["args"]).name == each.container["args"][-1]
        if each.name in JOBS:
            continue
        (port,) = each.container["ports"]
        expected = settings.serve.port if each.name == "serve" else settings.http.port
        assert (port["name"], port["containerPort"]) == ("http", expected)
        for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
            assert each.container[probe]["httpGet"]["port"] == "http"
            assert each.container[probe]["httpGet"]["path"] in paths
        assert each.container["livenessProbe"]["httpGet"]["path"] == "/livez"
        assert each.container["readinessProbe"]["httpGet"]["path"] == "/readyz"


@pytest.mark.parametrize("folder", ["base", *OVERLAYS])
def test_no_pod_may_more_than_it_must(folder: str) -> None:
    """No root, nothing written, no capability, no token of the cluster, bounded memory."""
    for each in workloads(folder):
        assert each.pod["automountServiceAccountToken"] is False
        # Variables of the services around, such as HUB_AUDIT_SERVE_PORT, are no settings of ours.
        assert each.pod["enableServiceLinks"] is False
        context = each.pod["securityContext"]
        assert (context["runAsNonRoot"], context["runAsUser"]) == (True, 10001)
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert each.container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} <= set(each.container["resources"]["requests"])
        assert "memory" in each.container["resources"]["limits"]
    policies = {each["metadata"]["name"] for each in of_kind(folder, "NetworkPolicy")}
    assert "nothing-by-default" in policies


def test_node_is_drained_though_nothing_is_ready() -> None:
    """While Postgres is away no pod is ready, and none is what a budget would protect."""
    budgets = of_kind("production", "PodDisruptionBudget")
    assert len(budgets) == len(PROCESSES - {"maintain"})
    for budget in budgets:
        assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_upgrade_finds_what_it_applies_first() -> None:
    """By their labels: the settings that the jobs read, the jobs, and whoever is replaced first."""
    text = (DEPLOY / "README.md").read_text(encoding="utf-8")
    (first,) = re.findall(r"-l 'app\.kubernetes\.io/name in \((.*)\)'", text)
    labelled = {
        (each["kind"], each["metadata"].get("labels", {}).get("app.kubernetes.io/name"))
        for each in rendered("production")
    }
    jobs = [f"hub-audit-{name}" for name in sorted(JOBS)]
    assert first.split(", ") == ["hub-audit-settings", *jobs]
    assert {("ConfigMap", "hub-audit-settings"), ("Deployment", "hub-audit-maintain")} <= labelled
    assert {("Job", name) for name in jobs} <= labelled
    assert f"delete job {' '.join(jobs)} --ignore-not-found" in text


def test_operator_has_somewhere_to_write() -> None:
    """An export goes into a file, and the pod's own file system takes none."""
    (operator,) = (each for each in workloads("base") if each.name in OPERATOR)
    (name,) = (
        each["name"] for each in operator.container["volumeMounts"] if not each.get("readOnly")
    )
    (volume,) = (each for each in operator.pod["volumes"] if each["name"] == name)
    assert volume["emptyDir"].get("medium") != "Memory"


def test_databases_have_room_for_locks_and_letters_beyond_ascii() -> None:
    """Else `hub-audit doctor` warns of what we have set ourselves, or left at CloudNativePG's C."""
    (cluster,) = of_kind("production", "Cluster")
    of_cluster = cluster["spec"]["postgresql"]["parameters"]
    said = compose()["services"]["postgres"]["command"]
    of_compose = dict(each.split("=") for each in said if "=" in each)
    for given in (of_cluster, of_compose):
        room = int(given["max_locks_per_transaction"]) * int(given["max_connections"])
        server = Server(170_006, "on", "on", "UTF8", room, folds=True)
        (finding,) = doctor._server(server, Settings().retention_days)
        assert finding.level is Level.OK
    assert cluster["spec"]["bootstrap"]["initdb"]["localeCType"] == "C.UTF-8"


def test_every_process_comes_in_as_itself() -> None:
    """In production each has the Kafka user and the database login that are its own."""
    users = {each["metadata"]["name"] for each in of_kind("production", "KafkaUser")}
    for each in workloads("production"):
        user = each.environment["HUB_AUDIT_KAFKA_SASL_USERNAME"]
        secrets = {
            v["name"]: v["secret"]["secretName"] for v in each.pod["volumes"] if "secret" in v
        }
        assert user in users
        assert secrets["kafka"] == user
        login = "operator" if each.name in JOBS | OPERATOR else each.name
        assert secrets["postgres"] == f"hub-audit-postgres-{login}"
        assert user == {"process": "processor", "forward": "forwarder"}.get(login, login)


def test_defend_may_read_what_its_rules_look_at() -> None:
    """A rule that takes another action reads another topic: its user may do that in production."""
    (acls,) = (
        each["spec"]["authorization"]["acls"]
        for each in of_kind("production", "KafkaUser")
        if each["metadata"]["name"] == "defend"
    )
    read = [each["resource"] for each in acls if "Read" in each["operations"]]
    whole = {each["name"] for each in read if each["patternType"] == "literal"}
    begin = tuple(each["name"] for each in read if each["patternType"] == "prefix")
    asked = topics(Settings.load(env=image_environment()))
    assert [name for name in asked if name not in whole and not name.startswith(begin)] == []


@pytest.mark.parametrize("folder", OVERLAYS)
def test_page_answers_until_nobody_is_sent_to_it(folder: str) -> None:
    """A pod of the page that ends waits before it listens no more, and has time left to finish."""
    (page,) = (each for each in workloads(folder) if each.name == "serve")
    program, seconds = page.container["lifecycle"]["preStop"]["exec"]["command"]
    assert program == "sleep"
    assert 0 < int(seconds) + STOP_SECONDS < page.pod["terminationGracePeriodSeconds"]


def test_ingress_of_the_page_leads_to_the_page() -> None:
    """The example to be copied is valid, and names a service and a port that are there."""
    ingress = documented("kind")
    kubernetes_validate.validate(ingress, "1.34", strict=True)
    services = {each["metadata"]["name"]: each for each in of_kind("production", "Service")}
    ((path,),) = (rule["http"]["paths"] for rule in ingress["spec"]["rules"])
    backend = path["backend"]["service"]
    assert ingress["metadata"]["namespace"] == "hub-audit"
    assert backend["port"] in [
        {"name": port["name"]} for port in services[backend["name"]]["spec"]["ports"]
    ]


def test_logins_of_the_cluster_are_those_of_the_file() -> None:
    """CloudNativePG makes the same roles, with the same memberships, as the two SQL files do."""
    sql = (DEPLOY / "postgres" / "logins.sql").read_text()
    logins = {
        name: sorted(re.split(r",\s*", roles))
        for name, roles in re.findall(r"CREATE ROLE (\w+) LOGIN IN ROLE\s+([\w,\s]+);", sql)
    }
    made = (DEPLOY.parent / "processor" / "store" / "sql" / "roles.sql").read_text()
    groups = dict(re.findall(r"\['(\w+)', 'NOLOGIN(.*?)'\]", made))
    (cluster,) = of_kind("production", "Cluster")
    managed = {role["name"]: role for role in cluster["spec"]["managed"]["roles"]}
    assert {n: sorted(r["inRoles"]) for n, r in managed.items() if r["login"]} == logins
    assert {n: r.get("bypassrls", False) for n, r in managed.items() if not r["login"]} == {
        name: "BYPASSRLS" in rest for name, rest in groups.items()
    }
    assert managed["hub_audit_maintenance"]["inRoles"] == ["hub_audit_owner"]
    first = cluster["spec"]["bootstrap"]["initdb"]
    assert first["secret"] == managed[first["owner"]]["passwordSecret"]


def test_workers_scale_by_a_metric_that_exists_up_to_the_lanes() -> None:
    """KEDA asks for our lag and never starts more workers than there are lanes; it alone counts."""
    (scaled,) = of_kind("production", "ScaledObject")
    assert scaled["spec"]["maxReplicaCount"] == Settings().lanes
    (trigger,) = scaled["spec"]["triggers"]
    assert trigger["type"] == "prometheus"
    (metric,) = re.findall(r"hub_audit_\w+", trigger["metadata"]["query"])
    assert f"`{metric}`" in (DEPLOY / "metrics.md").read_text()
    target = scaled["spec"]["scaleTargetRef"]["name"]
    (process,) = [d for d in of_kind("production", "Deployment") if d["metadata"]["name"] == target]
    assert "replicas" not in process["spec"]
    (monitor,) = of_kind("production", "PodMonitor")
    (watched,) = monitor["spec"]["selector"]["matchExpressions"]
    assert set(watched["values"]) == {f"hub-audit-{name}" for name in PROCESSES}


def test_every_alert_is_in_the_cluster() -> None:
    """The operator of Prometheus gets each rule that the file has, with nothing changed."""
    (rule,) = of_kind("production", "PrometheusRule")
    files = [yaml.safe_load((DEPLOY / "prometheus" / f).read_text()) for f in RULE_FILES]
    assert rule["spec"]["groups"] == [group for file in files for group in file["groups"]]
    assert any("alert" in rule for group in rule["spec"]["groups"] for rule in group["rules"])


def test_brokers_are_let_into_the_namespace() -> None:
    """The namespace admits restricted pods alone: Strimzi's containers are told to be such."""
    (kafka,) = of_kind("production", "Kafka")
    of_broker, of_entities = (
        kafka["spec"][part]["template"] for part in ("kafka", "entityOperator")
    )
    containers = {name: each for name, each in of_broker.items() if name != "pod"}
    for container in (*containers.values(), *of_entities.values()):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
            "capabilities": {"drop": ["ALL"]},
        }


def test_a_node_takes_one_replica_with_it() -> None:
    """Of three brokers and three databases no two are on one node, and each has room of its own."""
    (kafka,), (pool,) = of_kind("production", "Kafka"), of_kind("production", "KafkaNodePool")
    (database,) = of_kind("production", "Cluster")
    affinity = kafka["spec"]["kafka"]["template"]["pod"]["affinity"]["podAntiAffinity"]
    (apart,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]
    name = kafka["metadata"]["name"]
    brokers = {"strimzi.io/cluster": name, "strimzi.io/name": f"{name}-kafka"}
    assert apart["labelSelector"]["matchLabels"] == brokers
    assert database["spec"]["affinity"]["podAntiAffinityType"] == "required"
    assert {apart["topologyKey"], database["spec"]["affinity"]["topologyKey"]} == {
        "kubernetes.io/hostname"
    }
    for each in (pool, database):
        assert {"cpu", "memory"} <= set(each["spec"]["resources"]["requests"])
        assert "memory" in each["spec"]["resources"]["limits"]


def test_bus_has_an_administrator_whom_the_runbook_knows() -> None:
    """The one superuser is a user that is made, and no process; its pods and secrets are named."""
    (kafka,), (pool,) = of_kind("production", "Kafka"), of_kind("production", "KafkaNodePool")
    (admin,) = kafka["spec"]["kafka"]["authorization"]["superUsers"]
    assert admin in {each["metadata"]["name"] for each in of_kind("production", "KafkaUser")}
    processes = {
        each.environment["HUB_AUDIT_KAFKA_SASL_USERNAME"] for each in workloads("production")
    }
    assert admin not in processes
    runbook = (DEPLOY / "runbook.md").read_text(encoding="utf-8")
    bus, brokers = kafka["metadata"]["name"], pool["metadata"]["name"]
    assert set(re.findall(r"exec -it? (\S+-0) ", runbook)) == {f"{bus}-{brokers}-0"}
    assert f"get secret {admin} " in runbook
    (database,) = of_kind("production", "Cluster")
    assert f"cnpg.io/cluster={database['metadata']['name']}," in runbook


def test_what_a_siem_is_told_leads_to_the_bus() -> None:
    """The address on the page is that of a listener outside, whose certificate is for it."""
    told = {
        each.environment["HUB_AUDIT_FORWARD_PUBLIC_BOOTSTRAP_SERVERS"]
        for each in workloads("production")
    }
    host, _, port = told.pop().rpartition(":")
    (kafka,) = of_kind("production", "Kafka")
    (outside,) = (
        each for each in kafka["spec"]["kafka"]["listeners"] if each["type"] != "internal"
    )
    assert not told
    assert (outside["port"], outside["tls"]) == (int(port), True)
    assert outside["authentication"] == {"type": "scram-sha-512"}
    assert outside["configuration"]["bootstrap"]["alternativeNames"] == [host]
    assert outside["configuration"]["loadBalancerSourceRanges"]


def test_rights_of_siems_are_left_alone() -> None:
    """What a subscription allows its SIEM, Strimzi's operator of users does not take away."""
    (kafka,) = of_kind("production", "Kafka")
    container = kafka["spec"]["entityOperator"]["template"]["userOperatorContainer"]
    (ignored,) = (
        e["value"] for e in container["env"] if e["name"].endswith("IGNORED_USERS_PATTERN")
    )
    assert re.match(ignored, principal_of("acme").removeprefix("User:"))
    users = {each["metadata"]["name"] for each in of_kind("production", "KafkaUser")}
    assert not [name for name in users if re.match(ignored, name)]


def _health_paths() -> set[str]:
    routes = health.application(lambda: (True, "")).routes
    return {route.path for route in routes if isinstance(route, Route)}


def test_runbook_pauses_the_workers_that_are_there() -> None:
    """KEDA is told to by the name that its object has, and the pods are waited for by theirs."""
    runbook = (DEPLOY / "runbook.md").read_text(encoding="utf-8")
    (scaled,) = of_kind("production", "ScaledObject")
    name = scaled["metadata"]["name"]
    pausing = f"annotate scaledobject {name} autoscaling.keda.sh/paused-replicas"
    assert re.findall(rf"{re.escape(pausing)}(.*)\n", runbook) == ["=0", "-"]
    (selector,) = re.findall(r"wait --for=delete pod -l (\S+)=(\S+) ", runbook)
    (process,) = [d for d in of_kind("production", "Deployment") if d["metadata"]["name"] == name]
    assert selector in process["spec"]["template"]["metadata"]["labels"].items()
