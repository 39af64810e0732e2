"""Backups of the database in the cluster: what is prepared fits together once it is uncommented."""

import re
import shutil
from pathlib import Path
from typing import cast

from tests.contract.manifests import KUBERNETES, Document, of_kind, rendered

PLUGIN = "barman-cloud.cloudnative-pg.io"


def with_components(folder: Path, *names: str) -> dict[str, Document]:
    """Return what production is with these components, by kind; there is one of each."""
    shutil.copytree(KUBERNETES, folder / "kubernetes")
    file = folder / "kubernetes" / "production" / "kustomization.yaml"
    lines = ["components", *(rf"  - {name}" for name in names)]
    commented = re.compile(rf"^# ({'|'.join(lines)})\b", re.MULTILINE)
    text, changed = commented.subn(r"\1", file.read_text())
    assert changed == len(lines)
    file.write_text(text)
    return {each["kind"]: each for each in rendered("production", folder / "kubernetes")}


def archive(cluster: Document) -> dict[str, str]:
    """Return where a database archives, of which there is one way."""
    (plugin,) = cluster["spec"]["plugins"]
    assert (plugin["name"], plugin["isWALArchiver"]) == (PLUGIN, True)
    return cast("dict[str, str]", plugin["parameters"])


def test_nothing_is_archived_by_default() -> None:
    """To a store that is an example nothing could be; a log that waits for it fills its disk."""
    (cluster,) = of_kind("production", "Cluster")
    assert "plugins" not in cluster["spec"]


def test_backups_are_of_the_database_that_is_there(tmp_path: Path) -> None:
    """Both go through one plugin into the store, and the schedule names the database."""
    made = with_components(tmp_path, "backup")
    store, schedule, cluster = made["ObjectStore"], made["ScheduledBackup"], made["Cluster"]
    for each in (store, schedule, cluster):
        assert each["metadata"]["namespace"] == "hub-audit"
        # By it they are applied alone: while others are stopped, all would start them again.
        assert each["metadata"]["labels"] == {"app.kubernetes.io/name": "hub-audit-db"}
    assert archive(cluster)["barmanObjectName"] == store["metadata"]["name"]
    assert schedule["spec"]["cluster"]["name"] == cluster["metadata"]["name"]
    assert schedule["spec"]["pluginConfiguration"]["name"] == PLUGIN
    assert "initdb" in cluster["spec"]["bootstrap"]


def test_recovery_keeps_the_name_and_spares_the_archive(tmp_path: Path) -> None:
    """It reads what the one before wrote, and writes where nothing is; its owner is the same."""
    before = archive(with_components(tmp_path / "before", "backup")["Cluster"])
    cluster = with_components(tmp_path / "after", "backup", "recovery")["Cluster"]
    spec = cluster["spec"]
    ((recovery,), (source,)) = spec["bootstrap"].values(), spec["externalClusters"]
    (as_made,) = of_kind("production", "Cluster")
    first = as_made["spec"]["bootstrap"]["initdb"]
    assert cluster["metadata"]["name"] == as_made["metadata"]["name"]
    assert {key: recovery[key] for key in ("database", "owner", "secret")} == {
        key: first[key] for key in ("database", "owner", "secret")
    }
    assert recovery["source"] == source["name"]
    assert source["plugin"] == {"name": PLUGIN, "parameters": before}
    now = archive(cluster)
    assert now["barmanObjectName"] == before["barmanObjectName"]
    assert now["serverName"] != before["serverName"]
