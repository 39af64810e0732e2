"""Apache Kafka on this machine: one node, from its Maven artifacts, without a Docker engine."""

import hashlib
import logging
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from processor.local.cache import cache_directory
from processor.local.child import (
    Child,
    Launch,
    NotStarted,
    await_ready,
    end_found,
    find,
    tail,
    write_pid,
)
from processor.local.port import free_port

log = logging.getLogger(__name__)

VERSION = "4.1.1"
POM = Path(__file__).with_name("kafka-jars.xml")
CONNECT_POM = Path(__file__).with_name("connect-jars.xml")
"""Of Kafka Connect with its file sink: a consumer that tests run against."""

PROPERTIES = Path(__file__).with_name("kafka.properties")
COPY_JARS = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
# Any 16 bytes do; all our nodes share them, since none ever meets another.
CLUSTER_ID = "aHViLWF1ZGl0LWxvY2FsLQ"
START_SECONDS = 60
STOP_SECONDS = 20
RESOLVE_SECONDS = 600
HOMEBREW = (Path("/opt/homebrew/opt"), Path("/usr/local/opt"))
MACOS_JAVA = "/usr/bin/java"
# ApiVersions, version 0, correlation id 1, no client id: the smallest request a broker answers.
API_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 1, -1)


class Broker:
    """One Kafka node with its data in a directory; it can be started again on the same data."""

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        proxy_port: int | None = None,
        heap_mb: int = 768,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Describe the node; nothing starts yet.

        With ``proxy_port`` it listens on ``proxied_port`` as well and tells the clients that come
        in there to go on at ``proxy_port``: what stands between the two sees all their traffic,
        while ``bootstrap_servers`` stays the undisturbed way in.
        """
        self.directory = directory.resolve()
        self.port = port or free_port()
        self.proxy_port = proxy_port
        self.proxied_port = free_port() if proxy_port else None
        self._controller_port = free_port()
        self._heap_mb = heap_mb
        self._settings = dict(settings or {})
        self._child: Child | None = None

    @property
    def bootstrap_servers(self) -> str:
        """Where clients connect."""
        return f"127.0.0.1:{self.port}"

    @property
    def log_file(self) -> Path:
        """What the node and its Java machine say."""
        return self.directory / "kafka.log"

    @property
    def running(self) -> bool:
        """Whether the node's process is alive."""
        return self._child is not None and self._child.running

    def start(self, *, outlive: bool = False) -> None:
        """Start the node and wait until it answers; ``outlive``: it stays when we end."""
        self.directory.mkdir(parents=True, exist_ok=True)
        classpath = f"{jars()}/*"
        properties = self._write_properties()
        if not (self.directory / "data" / "meta.properties").exists():
            self._format(classpath, properties)
        options = ["-Xms256m", f"-Xmx{self._heap_mb}m", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"]
        command = [java(), *options, "-XX:+ExitOnOutOfMemoryError", *LOGGING, "-cp", classpath]
        launch = Launch([*command, "kafka.Kafka", str(properties)], self.log_file, dict(os.environ))
        self._child = Child.start(launch, outlive=outlive)
        write_pid(self._pid_file, self._child.pid)
        await_ready(self._child, self.answers, log=self.log_file, deadline_seconds=START_SECONDS)

    def stop(self) -> None:
        """End the node in good order, a node that an earlier command left running as well."""
        if self._child is not None:
            self._child.end(signal.SIGTERM, patience_seconds=STOP_SECONDS)
            self._child = None
        elif pid := self.left_running():
            end_found(pid, signal.SIGTERM, patience_seconds=STOP_SECONDS)
        self._pid_file.unlink(missing_ok=True)

    def kill(self) -> None:
        """End the node at once, as ``kill -9`` does."""
        self._require().end(signal.SIGKILL, patience_seconds=STOP_SECONDS)
        self._child = None

    def pause(self) -> None:
        """Freeze the node: it holds its connections and answers nothing."""
        self._require().send(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a frozen node go on."""
        self._require().send(signal.SIGCONT)

    def answers(self) -> bool:
        """Return whether the node serves requests."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(API_VERSIONS)
                return connection.recv(4) != b""
        except OSError:
            return False

    def left_running(self) -> int | None:
        """Return the process id of a node that an earlier command left running here."""
        return find(self._pid_file, str(self._properties_file))

    @property
    def _pid_file(self) -> Path:
        return self.directory / "kafka.pid"

    @property
    def _properties_file(self) -> Path:
        return self.directory / "server.properties"

    def _require(self) -> Child:
        if self._child is None:
            raise NotStarted("the broker is not running")
        return self._child

    def _write_properties(self) -> Path:
        proxied = self.proxied_port is not None
        text = PROPERTIES.read_text().format(
            port=self.port,
            controller_port=self._controller_port,
            proxied_listener=f",PROXIED://127.0.0.1:{self.proxied_port}" if proxied else "",
            proxied_advertised=f",PROXIED://127.0.0.1:{self.proxy_port}" if proxied else "",
            data=self.directory / "data",
        )
        own = "".join(f"{name}={value}\n" for name, value in self._settings.items())
        self._properties_file.write_text(text + own)
        return self._properties_file

    def _format(self, classpath: str, properties: Path) -> None:
        tool = ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(properties)]
        command = [java(), "-XX:TieredStopAtLevel=1", *LOGGING, "-cp", classpath, *tool]
        with self.log_file.open("ab") as output:
            done = subprocess.run(command, check=False, stdout=output, stderr=output)
        if done.returncode != 0:
            raise NotStarted(f"the broker's directory was not prepared:\n{tail(self.log_file)}")


LOGGING = (
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss.SSS",
    "-Dorg.slf4j.simpleLogger.showShortLogName=true",
)


def java(homebrew: Sequence[Path] = HOMEBREW) -> str:
    """Return the path of the Java machine: Homebrew puts its own on no path."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin") if home else None
    on_path = shutil.which("java")
    kegs = [keg for root in homebrew for keg in root.glob("openjdk*")]
    newest_first = sorted(kegs, key=lambda keg: -int(keg.name.partition("@")[2] or 99))
    brewed = shutil.which("java", path=os.pathsep.join(f"{keg}/bin" for keg in newest_first))
    # macOS has a java on the path even where there is none: it says where to get one.
    first, second = (brewed, on_path) if on_path == MACOS_JAVA else (on_path, brewed)
    if found := found or first or second:
        return found
    raise NotStarted("Apache Kafka needs Java 17 or newer: install it, or set JAVA_HOME")


def jars_directory(pom: Path = POM) -> Path:
    """Return where Kafka's jars are, or will be: another list of jars is another place."""
    digest = hashlib.sha256(pom.read_bytes()).hexdigest()[:8]
    return cache_directory() / f"kafka-{VERSION}-{digest}"


def jars(pom: Path = POM) -> Path:
    """Return the directory of Kafka's jars; Maven fetches them when they are not there yet."""
    directory = jars_directory(pom)
    if not directory.is_dir():
        fetch_jars(directory, pom)
    return directory


def fetch_jars(directory: Path, pom: Path = POM) -> None:
    """Resolve the jars into the directory, which appears complete or not at all."""
    maven = shutil.which("mvn")
    if maven is None:
        raise NotStarted("Apache Kafka's jars are fetched by Maven: install it (package maven)")
    log.info("fetching %s with Maven into %s (once, about 40 MB)", pom.stem, directory)
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix="kafka-") as scratch:
        fetched = Path(scratch, "jars")
        command = [maven, "-B", "-q", "-f", str(pom), COPY_JARS, f"-DoutputDirectory={fetched}"]
        done = subprocess.run(
            [*command, "-DincludeScope=runtime"],
            capture_output=True,
            text=True,
            check=False,
            timeout=RESOLVE_SECONDS,
        )
        if done.returncode != 0:
            raise NotStarted(f"Maven could not fetch Apache Kafka:\n{done.stdout}{done.stderr}")
        if not directory.is_dir():
            fetched.rename(directory)
