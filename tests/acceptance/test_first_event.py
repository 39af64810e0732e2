"""The README's first event and that of the upstream guide, exactly as a reader copies them."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from processor.local.kafka import Broker
from processor.local.port import free_port
from processor.local.stack import Addresses

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# What a reader types to have servers and a virtual environment; the test has both.
SURROUNDINGS = ("make ", ". ")
SECONDS = 60


def script(document: Path, heading: str, language: str) -> str:
    """Return the code of a section, without the lines that only prepare the surroundings."""
    section = document.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2]
    found = BLOCK.findall(section.partition("\n## ")[0])
    blocks = [code for kind, code in found if kind == language]
    assert blocks, (document.name, language)
    lines = "".join(blocks).splitlines()
    return "\n".join(line for line in lines if not line.startswith(SURROUNDINGS))


def environment(servers: Addresses) -> dict[str, str]:
    """Return the environment of a shell in the virtual environment, that knows the servers."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # The usual port may be another test's.
    port = {"HUB_AUDIT_HTTP_PORT": str(free_port())}
    return {"PATH": path, "HOME": os.environ.get("HOME", "/"), **servers.environment(), **port}


@pytest.fixture
def own_kafka(server_directory: Path) -> Iterator[str]:
    """Give a Kafka on which nobody has used the public topic names before."""
    broker = Broker(server_directory / "kafka-of-newcomers")
    broker.start()
    yield broker.bootstrap_servers
    broker.kill()


def test_commands_of_the_readme_show_an_event_from_end_to_end(
    own_kafka: str, empty_postgres_dsn: str
) -> None:
    """What is published comes out on its canonical topic and in the store, as entry 1."""
    servers = Addresses(own_kafka, empty_postgres_dsn)
    given = environment(servers)
    commands = script(ROOT / "README.md", "Your first event", "sh")
    with subprocess.Popen(
        ["bash", "-e", "-c", f"{servers.exports(ROOT)}{commands}"],
        env=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as shell:
        try:
            said = "".join(iter(lambda: answered(shell), "(1 row)\n"))
            assert '1 {"schema_version":1,' in said
            assert re.search(r"1 \| .* \| auth.login_success \| ada@example.com", said)
            upstream = script(ROOT / "schemas" / "README.md", "Your first event", "python")
            subprocess.run([sys.executable, "-c", upstream], env=given, check=True, timeout=SECONDS)
            with psycopg.connect(empty_postgres_dsn, autocommit=True) as store:
                assert stored(store, "usr_1") == (2, "auth.login_success")
        finally:
            os.killpg(shell.pid, signal.SIGTERM)


def answered(shell: "subprocess.Popen[str]") -> str:
    """Return the shell's next line; its end is that of the test."""
    assert shell.stdout is not None
    line = shell.stdout.readline()
    assert line, "the shell ended early"
    return line


def stored(store: psycopg.Connection, actor_id: str) -> tuple[int, str] | None:
    """Return the entry of an actor as soon as there is one."""
    wanted = "SELECT seq, action FROM audit_entries WHERE actor_id = %s"
    while True:
        if row := store.execute(wanted, [actor_id]).fetchone():
            return int(row[0]), str(row[1])
