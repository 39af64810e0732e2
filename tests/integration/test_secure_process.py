"""The whole of it over TLS alone: every process logs in as itself and has its own rights only."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, urlsplit

import psycopg
import pytest
from confluent_kafka import Consumer, Producer

from processor.emit import topics
from processor.emit.own_events import OwnEvent, OwnEvents
from processor.local.port import free_port
from processor.local.postgres import Server
from processor.settings import Settings
from tests.integration import bus
from tests.integration.acls import grant, rules, siem
from tests.integration.secure import HERE, Authority, SecureBroker, secure_server
from tests.integration.test_process import HUB_AUDIT, answer, login, until

PASSWORD = "correct horse"
PROCESSES = {"processor": "process", "forwarder": "forward", "defend": "defend"}
LOGINS = {"processor": "process", "forwarder": "forward"}
ROLES_SQL = Path(__file__).parents[2] / "processor" / "store" / "sql" / "roles.sql"
LOGINS_SQL = Path(__file__).parents[2] / "deploy" / "postgres" / "logins.sql"
ENDS = "SELECT count(*) FILTER (WHERE action = %s), count(*) FROM audit_entries"


class Site:
    """A broker and a database behind TLS, and the environment of each who works with them."""

    def __init__(self, broker: SecureBroker, server: Server, authority: Authority) -> None:
        """Hold where they are."""
        self.broker = broker
        self.authority = authority
        self._tls = f"?sslmode=verify-full&sslrootcert={quote(str(authority.file))}"
        self.dsn = server.dsn() + self._tls

    def login(self, principal: str) -> str:
        """Return how a principal comes into the database: as its own user."""
        user = f"hub_audit_{LOGINS.get(principal, principal)}"
        address = urlsplit(self.dsn)
        netloc = f"{user}:{quote(PASSWORD)}@{address.netloc.rpartition('@')[2]}"
        return address._replace(netloc=netloc).geturl()

    def environment(self, principal: str) -> dict[str, str]:
        """Return what a process has to be told to work as a principal."""
        given = {
            "ENVIRONMENT": "production",
            "LANES": "3",
            "KAFKA_BOOTSTRAP_SERVERS": self.broker.at("SASL_SSL"),
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_USERNAME": principal,
            "KAFKA_SASL_PASSWORD": PASSWORD,
            "KAFKA_CA_FILE": str(self.authority.file),
            "POSTGRES_DSN": self.login(principal),
            "HTTP_PORT": str(free_port()),
        }
        return {f"HUB_AUDIT_{name}": value for name, value in given.items()}

    def settings(self, principal: str) -> Settings:
        """Return the settings of a principal."""
        return Settings.load(env=self.environment(principal))

    def client(self, principal: str) -> dict[str, str]:
        """Return the same for the client that the product does not use."""
        return {
            "bootstrap.servers": self.broker.at("SASL_SSL"),
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": principal,
            "sasl.password": PASSWORD,
            "ssl.ca.location": str(self.authority.file),
        }

    def command(self, principal: str, *arguments: str) -> str:
        """Run a command as a principal and return what it says; it has to succeed."""
        done = subprocess.run(
            [*HUB_AUDIT, *arguments],
            env=dict(os.environ) | self.environment(principal),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def running(self, principal: str, name: str, log: Path) -> Iterator[None]:
        """Run a process as a principal for the length of a block; it has to end in good order."""
        environment = self.environment(principal)
        settings = Settings.load(env=environment)
        with log.open("w") as output:
            process = subprocess.Popen(
                [*HUB_AUDIT, name],
                env=dict(os.environ) | environment,
                stdout=output,
                stderr=output,
            )
        try:
            until(lambda: answer(settings, "/readyz") != "", log.read_text())
            yield
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0, log.read_text()
        finally:
            process.kill()
            process.wait()

    def publish(self, principal: str, topic: str) -> None:
        """Put a login on a topic as an upstream service does."""
        producer = Producer(self.client(principal) | {"partitioner": "murmur2_random"})
        producer.produce(topic, json.dumps(login()), "acme")
        assert producer.flush(20) == 0

    def delivered(self) -> list[bytes]:
        """Return what the organization's SIEM finds in its topic."""
        group = {"group.id": "siem.acme", "auto.offset.reset": "earliest"}
        consumer = Consumer(self.client("siem-acme") | group)
        consumer.subscribe(["siem.acme.hub"])
        found: list[bytes] = []
        try:
            until(lambda: _received(consumer, found), "a delivery")
            return found
        finally:
            consumer.close()

    def stored(self, action: str) -> bool:
        """Tell whether an entry of an action is stored."""
        with psycopg.connect(self.dsn) as connection:
            row = connection.execute(ENDS, [action]).fetchone()
            return bool(row and row[0])


def _received(consumer: Consumer, found: list[bytes]) -> bool:
    record = consumer.poll(1)
    if record is not None and record.error() is None:
        found.append(bus.value_of(record))
    return bool(found)


def prepare(dsn: str) -> None:
    """Make the roles and login users, and the database their operator's, as the documents say."""
    with psycopg.connect(dsn, autocommit=True) as superuser:
        superuser.execute(ROLES_SQL.read_text())
        superuser.execute(LOGINS_SQL.read_text())
        for name in re.findall(r"^CREATE ROLE (\w+)", LOGINS_SQL.read_text(), re.MULTILINE):
            superuser.execute(f"ALTER ROLE {name} PASSWORD '{PASSWORD}'")
        superuser.execute("ALTER DATABASE hub_audit OWNER TO hub_audit_operator")


@pytest.fixture(scope="module")
def site(server_directory: Path) -> Iterator[Site]:
    """Give a broker and a database of these tests' own, with everybody's rights."""
    authority = Authority(server_directory, "site-authority")
    broker = SecureBroker(server_directory / "site-kafka", authority)
    broker.start()
    table = rules(prefix="", environment="production", group="hub-audit")
    table["siem-acme"] = siem("acme", ["siem.acme.hub"])
    grant(broker.bootstrap_servers, table)
    broker.add_users(PASSWORD, *table)
    shown = authority.issue("site-postgres", HERE)
    with secure_server(server_directory, authority, shown) as server:
        site = Site(broker, server, authority)
        prepare(site.dsn)
        yield site
    broker.kill()


async def test_page_tells_and_makes_topics_with_its_own_rights(site: Site) -> None:
    """The page's principal writes own events, and makes and deletes SIEM topics."""
    site.command("operator", "topics", "create")
    settings = site.settings("serve")
    async with OwnEvents.opened(settings) as own:
        event = OwnEvent("e", "audit.viewed.v1", datetime.now(UTC), "acme", {})
        await own.publish([event])
    assert await topics.create_siem(settings, "siem.acme.ecs")
    await topics.delete(settings, "siem.acme.ecs")
    assert "siem.acme.ecs" not in await topics.names(settings)


@pytest.mark.timeout(180)
def test_every_process_works_with_its_own_rights(site: Site, tmp_path: Path) -> None:
    """From empty servers to a SIEM that reads, each step as the principal that is for it."""
    site.command("operator", "migrate")
    site.command("operator", "topics", "create")
    site.command("operator", "subscriptions", "create", "acme", "hub")
    with ExitStack() as processes:
        for principal, name in PROCESSES.items():
            log = tmp_path / f"{name}.log"
            processes.enter_context(site.running(principal, name, log))
        site.publish("upstream-identity", "raw.identity")
        until(lambda: site.stored("auth.login_success"), "an entry")
        assert json.loads(site.delivered()[0])["seq"] == 1
        out = str(tmp_path / "acme.csv")
        site.command("operator", "export", "--org", "acme", "--output", out)
        until(lambda: site.stored("audit.exported"), "the export's own entry")
        site.command("maintain", "maintain", "--once")
        said = site.command("operator", "doctor")
        assert "records, 1 workers" in said
        assert "problem" not in said
