"""Who may read a SIEM topic, on a bus that asks everybody who they are."""

import asyncio
import html
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import TopicAuthorizationFailedError
from click.testing import CliRunner
from confluent_kafka import Consumer
from confluent_kafka import admin as kafka_admin
from confluent_kafka.admin import AdminClient

from processor.cli import main
from processor.demo.issuer import PEOPLE
from processor.emit import acls, topics
from processor.emit.own_events import OwnEvents
from processor.emit.producer import TOPIC_FAULTS
from processor.forward.control import NOT_SHUT_OUT, Control, SubscriptionError, commands_of
from processor.forward.shard import Shard
from processor.local.kafka import Broker
from processor.local.port import free_port
from processor.settings import Settings
from processor.store import subscriptions as store
from processor.store.load import load
from processor.store.pool import FORWARDER, WRITER, Database
from schemas.catalogue import FormatName
from schemas.subscription import Filter
from tests.integration import bus, serving
from tests.integration.ops import settings_of
from tests.integration.store import an_entry

pytestmark = pytest.mark.timeout(120)

USERS = ("siem-acme", "siem-globex", "forwarder")
PASSWORD = secrets.token_hex(8)
SECONDS_MAX = 20.0


@pytest.fixture(scope="module")
def port() -> int:
    """Give the port on which the bus asks who somebody is."""
    return free_port()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[Broker]:
    """Give a broker with an authorizer; who comes in by the other port may do everything."""
    directory: Path = tmp_path_factory.mktemp("guarded")
    plain = "org.apache.kafka.common.security.plain.PlainLoginModule"
    users = " ".join(f'user_{name}="{PASSWORD}"' for name in USERS)
    broker = Broker(directory, heap_mb=384, proxy_port=port)
    broker.proxied_port = port
    broker._settings |= {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "listener.security.protocol.map": (
            "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:SASL_PLAINTEXT"
        ),
        "sasl.enabled.mechanisms": "PLAIN",
        "listener.name.proxied.plain.sasl.jaas.config": f"{plain} required {users};",
    }
    broker.start()
    yield broker
    broker.stop()


class Bus:
    """The guarded bus, an organization's database, and who orders."""

    def __init__(self, settings: Settings, port: int, db: Database, writer: Database) -> None:
        """Keep them."""
        self.settings, self.port, self.db, self.writer = settings, port, db, writer

    @asynccontextmanager
    async def control(self) -> AsyncIterator[Control]:
        """Lend somebody who may order everything."""
        async with OwnEvents.opened(self.settings) as events:
            yield Control(self.settings, self.db, events, {"type": "user", "id": "usr_olivia"})

    def login(self, user: str) -> dict[str, str]:
        """Return how somebody connects who is asked who they are."""
        return {
            "bootstrap.servers": f"127.0.0.1:{self.port}",
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "PLAIN",
            "sasl.username": user,
            "sasl.password": PASSWORD,
        }

    def settings_as(self, user: str) -> Settings:
        """Return the settings of a Hub Audit that is asked who it is."""
        mine = self.settings.kafka.model_dump() | {
            "bootstrap_servers": f"127.0.0.1:{self.port}",
            "security_protocol": "SASL_PLAINTEXT",
            "sasl_mechanism": "PLAIN",
            "sasl_username": user,
            "sasl_password": PASSWORD,
        }
        kafka = type(self.settings.kafka).model_validate(mine)
        return self.settings.model_copy(update={"kafka": kafka})

    def read(self, user: str, topic: str, group: str) -> object:
        """Return what somebody gets who reads a topic in a group: a value, or a refusal."""
        consumer = Consumer(
            {
                **self.login(user),
                "group.id": group,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
            }
        )
        try:
            consumer.subscribe([topic])
            record = consumer.poll(SECONDS_MAX)
            assert record is not None
            error = record.error()
            return error.name() if error else record.value()
        finally:
            consumer.close()

    def allowed(self) -> set[tuple[str, str, str]]:
        """Return every ACL of a SIEM: principal, topic or group, operation."""
        admin = self.admin()  # ends what it was asked when nobody holds it any more
        there: Any = admin.describe_acls(acls_of(None)).result(SECONDS_MAX)
        found = [each for each in there if each.principal.startswith("User:siem-")]
        assert all(each.resource_pattern_type.name == "LITERAL" for each in found)
        return {(each.principal, each.name, each.operation.name) for each in found}

    def admin(self) -> AdminClient:
        """Somebody who may do everything."""
        return AdminClient({"bootstrap.servers": self.settings.kafka.bootstrap_servers})


@pytest.fixture
async def guarded(broker: Broker, port: int, postgres_dsn: str) -> AsyncIterator[Bus]:
    """Give the guarded bus, with the topic of Hub Audit's own events."""
    settings = settings_of(broker.bootstrap_servers, postgres_dsn)
    bus.create(broker.bootstrap_servers, [settings.topic("raw.audit")], 3)
    db = await Database.open(postgres_dsn, role=FORWARDER)
    writer = await Database.open(postgres_dsn, role=WRITER)
    yield Bus(settings, port, db, writer)
    await db.close()
    await writer.close()


async def test_its_own_siem_is_let_in_and_nobody_else(guarded: Bus) -> None:
    """Creating sets literal ACLs for one principal; deleting takes them back."""
    async with guarded.control() as control:
        made = await control.create("acme", "hub", Filter())
        other = await control.create("acme", "ecs", Filter())
        assert (made.access, made.warnings) == ("set", [guarded_warning()])
        assert guarded.allowed() == {
            ("User:siem-acme", made.topic, "READ"),
            ("User:siem-acme", made.topic, "DESCRIBE"),
            ("User:siem-acme", other.topic, "READ"),
            ("User:siem-acme", other.topic, "DESCRIBE"),
            ("User:siem-acme", "siem.acme", "READ"),
        }
        await control.test("acme", "hub")
        shard = Shard(guarded.settings, guarded.db, (await shard_of(guarded, "acme")))
        await shard.round()
        await shard.end()
        sent = guarded.read("siem-acme", made.topic, "siem.acme")
        assert isinstance(sent, bytes)
        assert b"Hub Audit test event" in sent
        refused = "TOPIC_AUTHORIZATION_FAILED"
        assert guarded.read("siem-globex", made.topic, "siem.globex") in (
            *(refused, "GROUP_AUTHORIZATION_FAILED"),
        )
        assert guarded.read("siem-acme", made.topic, "siem.other") == "GROUP_AUTHORIZATION_FAILED"
        await control.delete("acme", "hub")
        assert guarded.allowed() == {
            ("User:siem-acme", other.topic, "READ"),
            ("User:siem-acme", other.topic, "DESCRIBE"),
            ("User:siem-acme", "siem.acme", "READ"),
        }
        await control.delete("acme", "ecs")
    assert guarded.allowed() == set()


async def test_acls_are_left_to_whom_they_are(guarded: Bus) -> None:
    """A Hub Audit that may not set ACLs says so, and sets none."""
    wanted = [*acls.of_topic("acme", "siem.acme.hub"), *acls.of_group("acme")]
    assert await acls.allow(guarded.settings_as("forwarder"), wanted) == "by_hand"
    assert await acls.disallow(guarded.settings_as("forwarder"), wanted) == "by_hand"
    assert guarded.allowed() == set()


async def test_who_may_not_take_rights_back_is_told_what_does(guarded: Bus) -> None:
    """On the page and over the API; an operator who may not set ACLs is told by the command."""
    audit, dsn = guarded.settings.topic("raw.audit"), guarded.settings.postgres.dsn
    names: tuple[FormatName, ...] = ("hub", "ecs", "cef")
    async with guarded.control() as control:
        made = [(await control.create("acme", name, Filter())).topic for name in names]
    allow_forwarder(guarded, [audit], deleting=True)
    mine = guarded.settings_as("forwarder")
    while not {audit, *made} <= await topics.names(mine):  # noqa: ASYNC110 - on the bus
        await asyncio.sleep(0.05)
    removal = [
        [each.replace(" --add ", " --remove --force ") for each in commands_of(mine, "acme", name)]
        for name in names
    ]
    plain = guarded.settings.kafka.bootstrap_servers
    async with serving.opened(plain, dsn.get_secret_value()) as place:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        serve = place.settings.serve.model_copy(update={"port": port, "public_url": url})
        update = {"access": place.settings.access, "serve": serve}
        headers = {"Authorization": f"Bearer {place.issuer.token(PEOPLE[0])}", "Origin": url}
        async with (
            serving.served(mine.model_copy(update=update)),
            httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as client,
        ):
            answer = await client.delete("/v1/subscriptions/hub")
            assert (answer.status_code, answer.json()) == (200, {"acl_commands": removal[0][:1]})
            answer = await client.post("/siem/ecs/delete", follow_redirects=True)
            assert html.escape(removal[1][0], quote=False) in answer.text
            assert removal[1][1] not in answer.text
    runner = CliRunner(env=environment(mine))
    order = ["subscriptions", "delete", "acme", "cef", "--yes"]
    done = await asyncio.to_thread(runner.invoke, main, order)
    assert done.stdout.splitlines() == ["deleted", *(f"  {each}" for each in removal[2])]
    assert NOT_SHUT_OUT in done.stderr
    assert len(guarded.allowed()) == 7  # two a topic, and the group's
    take_back(guarded)


async def test_topic_that_may_not_be_deleted_keeps_its_subscription(guarded: Bus) -> None:
    """What is still there is not said to be gone: the row stays, paused, to be deleted later."""
    async with guarded.control() as control:
        made = await control.create("acme", "hub", Filter())
    allow_forwarder(guarded, [])
    async with OwnEvents.opened(guarded.settings) as events:
        mine = guarded.settings_as("forwarder")
        while made.topic not in await topics.names(mine):  # noqa: ASYNC110 - on the bus
            await asyncio.sleep(0.05)
        control = Control(mine, guarded.db, events, {"type": "user", "id": "usr_olivia"})
        said = f"topic {made.topic} could not be deleted: TopicAuthorizationFailedError"
        with pytest.raises(SubscriptionError, match=re.escape(said)):
            await control.delete("acme", "hub")
    (left,) = await store.listed(guarded.db, "acme")
    assert left.state == "paused"
    async with guarded.control() as control:
        await control.delete("acme", "hub")
    assert await store.listed(guarded.db, "acme") == []


@pytest.mark.parametrize("at_once", [True, False], ids=["refused at once", "refused later"])
async def test_topic_that_may_not_be_written_hurts_no_other(
    guarded: Bus, monkeypatch: pytest.MonkeyPatch, *, at_once: bool
) -> None:
    """A forwarder that lost its ACL on one topic says so there, and serves the others.

    Also when the refusal comes before the next topic's batch was given to the client.
    """
    if at_once:
        monkeypatch.setattr(AIOKafkaProducer, "send_batch", answered(AIOKafkaProducer.send_batch))
    async with guarded.control() as control:
        good = await control.create("acme", "hub", Filter())
        bad = await control.create("acme", "ecs", Filter())
    allow_forwarder(guarded, [good.topic])
    assert await load(guarded.writer, [an_entry("acme", f"e{n}") for n in range(3)]) == 3
    number = await shard_of(guarded, "acme")
    shard = Shard(guarded.settings_as("forwarder"), guarded.db, number)
    while await shard.round():
        pass
    await shard.end()
    standing = {each.format: each for each in await store.listed(guarded.db, "acme")}
    assert (standing["hub"].state, standing["hub"].forwarded_through) == ("active", 3)
    assert (standing["ecs"].state, standing["ecs"].forwarded_through) == ("failing", 0)
    assert standing["ecs"].error == TOPIC_FAULTS[TopicAuthorizationFailedError]
    assert len(bus.read(guarded.settings.kafka.bootstrap_servers, [good.topic])) == 3
    assert bus.read(guarded.settings.kafka.bootstrap_servers, [bad.topic]) == []
    async with guarded.control() as control:
        await control.delete("acme", "hub")
        await control.delete("acme", "ecs")


def answered(send_batch: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Return the client's step with the bus so quick that it is over with the bus's answer."""

    @wraps(send_batch)
    async def sent(*given: Any, **named: Any) -> Any:
        """Send, and wait for what becomes of it."""
        future = await send_batch(*given, **named)
        await asyncio.wait([future])
        return future

    return sent


def guarded_warning() -> str:
    """Return what an organization without entries is warned of."""
    return "no entry of the last 90 days would have passed this filter: is it what you want?"


async def shard_of(guarded: Bus, org_id: str) -> int:
    """Return the shard of an organization's subscriptions."""
    async with guarded.db.connection() as connection:
        shard: int = await connection.fetchval(
            "SELECT shard FROM subscriptions WHERE org_id = $1 LIMIT 1", org_id
        )
    return shard


def environment(settings: Settings) -> dict[str, str]:
    """Return the environment of a command that is asked who it is."""
    told = "bootstrap_servers security_protocol sasl_mechanism sasl_username topic_prefix"
    return {
        f"HUB_AUDIT_KAFKA_{name.upper()}": str(getattr(settings.kafka, name))
        for name in told.split()
    } | {
        "HUB_AUDIT_KAFKA_SASL_PASSWORD": PASSWORD,
        "HUB_AUDIT_POSTGRES_DSN": settings.postgres.dsn.get_secret_value(),
        "HUB_AUDIT_GROUP": settings.group,
    }


def acls_of(principal: str | None) -> Any:
    """Return what asks for the ACLs of somebody, or of everybody."""
    parts: list[Any] = [
        kafka_admin.ResourceType.ANY,  # type: ignore[attr-defined] # all of these are
        None,
        kafka_admin.ResourcePatternType.ANY,  # type: ignore[attr-defined]
        principal,
        None,
        kafka_admin.AclOperation.ANY,  # type: ignore[attr-defined]
        kafka_admin.AclPermissionType.ANY,  # type: ignore[attr-defined]
    ]
    return kafka_admin.AclBindingFilter(*parts)  # type: ignore[attr-defined]


def take_back(guarded: Bus) -> None:
    """Leave no ACL of a SIEM, as an operator who runs the commands."""
    admin = guarded.admin()
    for gone in admin.delete_acls([acls_of("User:siem-acme")]).values():
        gone.result(SECONDS_MAX)
    assert guarded.allowed() == set()


def allow_forwarder(guarded: Bus, writable: list[str], *, deleting: bool = False) -> None:
    """Let the forwarder write some topics, and see, or delete, all that begin like them."""
    kinds, patterns = kafka_admin.ResourceType, kafka_admin.ResourcePatternType  # type: ignore[attr-defined]
    operations = kafka_admin.AclOperation  # type: ignore[attr-defined]
    prefix = guarded.settings.kafka.topic_prefix
    wanted = [
        (kinds.TRANSACTIONAL_ID, "development.", patterns.PREFIXED, operations.ALL),
        (kinds.GROUP, prefix, patterns.PREFIXED, operations.READ),
        (kinds.TOPIC, prefix, patterns.PREFIXED, operations.DESCRIBE),
        (kinds.TOPIC, prefix, patterns.PREFIXED, operations.READ),
        *((kinds.TOPIC, name, patterns.LITERAL, operations.WRITE) for name in writable),
    ]
    if deleting:
        wanted.append((kinds.TOPIC, prefix, patterns.PREFIXED, operations.DELETE))
    bindings = [
        kafka_admin.AclBinding(  # type: ignore[attr-defined]
            *(kind, name, pattern, "User:forwarder", "*", operation),
            kafka_admin.AclPermissionType.ALLOW,  # type: ignore[attr-defined]
        )
        for kind, name, pattern, operation in wanted
    ]
    admin = guarded.admin()
    for made in admin.create_acls(bindings).values():
        made.result(SECONDS_MAX)
