"""The table of who may do what on the bus, proved cell by cell on a broker with an authorizer."""

import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka.conn import create_conn
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import InitProducerIdRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from confluent_kafka import KafkaError, TopicCollection
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined] # it does

from schemas.catalogue import CANONICAL_TOPICS, DEAD_LETTER_TOPIC, OWN_TOPICS
from tests.integration import bus
from tests.integration.acls import grant, rules, siem
from tests.integration.secure import Authority, SecureBroker

PASSWORD = "correct horse"
RAW = frozenset({"raw.identity", "raw.billing", "raw.permission", "raw.audit", "raw.redrive"})
HUB = frozenset({*CANONICAL_TOPICS, *OWN_TOPICS, DEAD_LETTER_TOPIC})
FINDINGS, SIEM, SIEM_OTHER = "hub.defend.findings", "siem.acme.ocsf", "siem.acme2.ocsf"
TELEMETRY, FOREIGN = "defend.endpoint_telemetry", "orders"
TOPICS = (*sorted(RAW | HUB), FINDINGS, TELEMETRY, SIEM, SIEM_OTHER, FOREIGN)
GROUPS = ("hub-audit", "hub-audit.forward", "hub-audit.defend", "siem.acme", "siem.acme2", "orders")
IDS = tuple(
    f"production.hub-audit.{end}" for end in ("0", "11", "-1", "siem.0", "siem.15", "republish")
)
IDS += ("staging.hub-audit.0",)
WATCHED = {name for name in HUB if name.startswith(("hub.auth.", "hub.iam.", "hub.billing."))}
WATCHED |= {"hub.audit.exported", "hub.audit.subscription_changed", TELEMETRY}
READ, WRITE = "READ", "WRITE"
TOPIC_REFUSED, ID_REFUSED = 29, 53
LOOK = {"DESCRIBE", "DESCRIBE_CONFIGS"}
KEEP = LOOK | {"CREATE", "ALTER", "ALTER_CONFIGS"}

Allowed = dict[str, dict[str, set[str]]]


def each(names: Iterable[str], operations: set[str]) -> dict[str, set[str]]:
    """Return the same operations for all of the names."""
    return dict.fromkeys(names, operations)


EXPECTED: dict[str, Allowed] = {
    "upstream-identity": {"topics": {"raw.identity": {WRITE, "DESCRIBE"}}},
    "upstream-billing": {"topics": {"raw.billing": {WRITE, "DESCRIBE"}}},
    "upstream-permission": {"topics": {"raw.permission": {WRITE, "DESCRIBE"}}},
    "upstream-telemetry": {"topics": {TELEMETRY: {WRITE, "DESCRIBE"}}},
    "processor": {
        "topics": each(RAW, {READ, *LOOK})
        | each(HUB, {READ, WRITE, *LOOK})
        | each([FINDINGS, TELEMETRY], LOOK),
        "groups": {"hub-audit": {READ, "DESCRIBE"}},
        "ids": each(IDS[:2], {WRITE}),
    },
    "serve": {
        "topics": each([SIEM, SIEM_OTHER], {"CREATE", "DELETE", *LOOK})
        | {"raw.audit": {WRITE, "DESCRIBE"}},
    },
    "forwarder": {
        "topics": each([SIEM, SIEM_OTHER], {READ, WRITE, "DESCRIBE"}),
        "groups": {"hub-audit.forward": {READ, "DESCRIBE"}},
        "ids": each(IDS[3:5], {WRITE}),
    },
    "defend": {
        "topics": each(WATCHED, {READ, "DESCRIBE"}) | {FINDINGS: {WRITE, "DESCRIBE"}},
        "groups": {"hub-audit.defend": {READ, "DESCRIBE"}},
    },
    "maintain": {"topics": {"raw.audit": {WRITE, "DESCRIBE"}}},
    "operator": {
        "topics": each(RAW, {READ, *KEEP})
        | each(["raw.audit", "raw.redrive"], {READ, WRITE, *KEEP})
        | each(HUB, {READ, WRITE, *KEEP})
        | {FINDINGS: {READ, *KEEP}}
        | {TELEMETRY: KEEP}
        | each([SIEM, SIEM_OTHER], {READ, "CREATE", "DELETE", *LOOK}),
        "groups": each(GROUPS[:3], {"DESCRIBE"}),
        "ids": {IDS[2]: {WRITE}, "production.hub-audit.republish": {WRITE}},
        "cluster": {"cluster": {"ALTER", "DESCRIBE"}},
    },
    "siem-acme": {
        "topics": {SIEM: {READ, "DESCRIBE"}},
        "groups": {"siem.acme": {READ, "DESCRIBE"}},
    },
    "nobody": {},
}


class Client:
    """A principal, and what it can do, found out by the client that the product does not use."""

    def __init__(self, principal: str, broker: SecureBroker, authority: Authority) -> None:
        """Hold how it connects."""
        self.principal = principal
        self.expected = EXPECTED[principal]
        self._options: dict[str, Any] = {
            "bootstrap.servers": broker.at("SASL_SSL"),
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": principal,
            "sasl.password": PASSWORD,
            "ssl.ca.location": str(authority.file),
            "log_level": 0,
        }
        self.admin = AdminClient(self._options)

    def may(self, kind: str, operation: str) -> set[str]:
        """Return on what the table should allow an operation."""
        return {name for name, may in self.expected.get(kind, {}).items() if operation in may}

    def topics(self) -> dict[str, set[str]]:
        """Return what the broker itself says that may be done with topics."""
        asked = self.admin.describe_topics(
            TopicCollection(list(TOPICS)), include_authorized_operations=True
        )
        return _operations(asked, KafkaError.TOPIC_AUTHORIZATION_FAILED)

    def groups(self) -> dict[str, set[str]]:
        """Return what the broker itself says that may be done with groups."""
        asked = self.admin.describe_consumer_groups(
            list(GROUPS), include_authorized_operations=True
        )
        return _operations(asked, KafkaError.GROUP_AUTHORIZATION_FAILED)

    def cluster(self) -> set[str]:
        """Return what the broker itself says that may be done with the cluster."""
        described = self.admin.describe_cluster(include_authorized_operations=True).result()
        return {operation.name for operation in described.authorized_operations or ()}

    async def really(self) -> dict[str, set[str]]:
        """Write to, and fetch from, every topic; begin under every transactional id.

        By single requests, whose answers name every topic: a whole client hides some behind
        retries.
        """
        async with self._connected() as ask:
            written = await ask(ProduceRequest(None, -1, 5_000, _each_topic(_batch())))
            fetched = await ask(FetchRequest(0, 0, 1_048_576, 0, _each_topic(0, 1_024)))
            begun = {name: await ask(InitProducerIdRequest(name, 10_000)) for name in IDS}
        return {
            "written": _passed(written.topics),
            "fetched": _passed(fetched.topics),
            "begun": {name for name in IDS if begun[name].error_code != ID_REFUSED},
        }

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[Callable[[object], Awaitable[Any]]]:
        host, port = self._options["bootstrap.servers"].split(":")
        connection = await create_conn(
            host,
            int(port),
            ssl_context=ssl.create_default_context(cafile=self._options["ssl.ca.location"]),
            security_protocol="SASL_SSL",
            sasl_mechanism="SCRAM-SHA-512",
            sasl_plain_username=self.principal,
            sasl_plain_password=PASSWORD,
        )
        try:
            yield connection.send
        finally:
            await connection.close()

    def creatable(self) -> set[str]:
        """Return which kinds of topics may be made: by a name that is new, on paper only."""
        wanted = {f"{topic}.new": topic for topic in TOPICS}
        asked = self.admin.create_topics(
            [NewTopic(name, 1, 1) for name in wanted], validate_only=True
        )
        return {wanted[name] for name, done in asked.items() if done.exception() is None}


@pytest.fixture(scope="module")
def authority(server_directory: Path) -> Authority:
    """Give the authority of the broker's certificate."""
    return Authority(server_directory, "acl-authority")


@pytest.fixture(scope="module")
def broker(server_directory: Path, authority: Authority) -> Iterator[SecureBroker]:
    """Give a broker with every topic, every principal and the whole table."""
    broker = SecureBroker(server_directory / "acl-kafka", authority)
    broker.start()
    bus.create(broker.bootstrap_servers, TOPICS, 1)
    table = rules(prefix="", environment="production", group="hub-audit")
    grant(broker.bootstrap_servers, table | {"siem-acme": siem("acme", [SIEM])})
    broker.add_users(PASSWORD, *EXPECTED)
    _await_coordinators(broker.bootstrap_servers)
    yield broker
    broker.kill()


@pytest.fixture(params=EXPECTED)
def client(request: pytest.FixtureRequest, broker: SecureBroker, authority: Authority) -> Client:
    """Give a client of each principal."""
    return Client(request.param, broker, authority)


def _batch() -> bytes:
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=4_096,
    )
    builder.append(0, timestamp=None, key=b"acme", value=b"{}", headers=[])
    return bytes(builder.build())


def _each_topic(*what: object) -> list[tuple[str, list[tuple[object, ...]]]]:
    return [(topic, [(0, *what)]) for topic in TOPICS]


def _passed(answered: list[tuple[str, list[tuple[int, ...]]]]) -> set[str]:
    codes = {topic: code for topic, ((_, code, *_),) in answered}
    assert set(codes) == set(TOPICS)
    assert set(codes.values()) <= {0, TOPIC_REFUSED}
    return {topic for topic, code in codes.items() if code == 0}


def _await_coordinators(bootstrap: str) -> None:
    """Wait until groups can be asked about: their coordinators are made by the first question."""
    admin, deadline = AdminClient({"bootstrap.servers": bootstrap}), time.monotonic() + 30
    while time.monotonic() < deadline:
        asked = admin.describe_consumer_groups(list(GROUPS)).values()
        if not any(answer.exception() for answer in asked):
            return
        time.sleep(0.1)
    raise TimeoutError("the coordinators of the groups are not there")


def _operations(asked: Mapping[str, Future[Any]], refused: int) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for name, answer in asked.items():
        error = answer.exception()
        if error is None:
            described = answer.result()
            found[name] = {operation.name for operation in described.authorized_operations}
        else:
            assert error.args[0].code() == refused, error
    return found


def test_broker_allows_what_the_table_says_and_nothing_else(client: Client) -> None:
    """Every principal, topic, group and the cluster: the broker's own word on every operation."""
    expected = client.expected
    assert client.topics() == expected.get("topics", {})
    assert client.groups() == expected.get("groups", {})
    assert client.cluster() == expected.get("cluster", {}).get("cluster", set())


async def test_requests_get_where_the_table_lets_them(client: Client) -> None:
    """Really written, fetched and begun: allowed where listed, refused everywhere else."""
    assert await client.really() == {
        "written": client.may("topics", WRITE),
        "fetched": client.may("topics", READ),
        "begun": client.may("ids", WRITE),
    }


def test_topics_are_made_by_whom_the_table_says(client: Client) -> None:
    """A new topic of any family is refused but to those who keep that family."""
    assert client.creatable() == client.may("topics", "CREATE")
