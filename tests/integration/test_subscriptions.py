"""Orders for SIEM subscriptions, from the command line to the topic and the log of the log."""

import asyncio
import json
from collections.abc import Iterator

import orjson
import pytest
from click.testing import CliRunner, Result
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from processor.cli import main
from processor.demo.issuer import PEOPLE
from processor.settings import Settings
from tests.integration import bus, serving
from tests.integration.ops import cleaned, environment_of, settings_of
from tests.integration.store import query

pytestmark = pytest.mark.timeout(90)


@pytest.fixture
def settings(kafka: str, postgres_dsn: str) -> Iterator[Settings]:
    """Give an environment with the topic of Hub Audit's own events."""
    settings = settings_of(kafka, postgres_dsn)
    with cleaned(settings):
        bus.create(kafka, [settings.topic("raw.audit")], 3)
        yield settings


def ordered(settings: Settings, *arguments: str, stdin: str | None = None) -> Result:
    """Run ``hub-audit subscriptions`` in that environment."""
    return CliRunner(env=environment_of(settings)).invoke(
        main, ["subscriptions", *arguments], input=stdin
    )


def told(settings: Settings) -> list[dict[str, object]]:
    """Return what the log of the log was told of subscriptions."""
    records = bus.read(settings.kafka.bootstrap_servers, [settings.topic("raw.audit")])
    assert all(
        bus.headers_of(record)["ce_type"] == b"audit.subscription.changed.v1" for record in records
    )
    return [orjson.loads(bus.value_of(record)) for record in records]


def test_subscription_is_created_once_and_shown(settings: Settings) -> None:
    """Creating makes the topic, prints who must be let in, and tells the organization."""
    made = ordered(settings, "create", "acme", "hub", "--action", "user.created")
    assert made.exit_code == 0, made.output
    topic = settings.topic("siem.acme.hub")
    assert f"--operation Read --operation Describe --topic {topic}" in made.output
    assert "--operation Read --group siem.acme" in made.output
    assert "hub-audit: the log has never had an entry of 'acme'\n" in made.stderr
    admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers})
    assert len(admin.list_topics(timeout=10).topics[topic].partitions) == 1
    again = ordered(settings, "create", "acme", "hub")
    assert (again.exit_code, again.output) == (1, "hub-audit: siem.acme.hub exists already\n")
    (shown,) = json.loads(ordered(settings, "list", "acme", "--json").output)
    assert shown == {
        "topic": topic,
        "state": "active",
        "filter": {"actions": ["user.created"]},
        "through_seq": 0,
        "lag_entries": 0,
        "delivered_at": None,
        "error": None,
    }
    assert ordered(settings, "list", "acme").output.startswith(f"{topic} ")
    (event,) = told(settings)
    assert event["subscription"] == {"id": "siem.acme.hub"}
    assert event["after"] == {"state": "active", "filter": {"actions": ["user.created"]}}


def test_topic_is_shown_as_its_reader_gets_it(settings: Settings) -> None:
    """A tail shows committed records alone, a line each, and ends after as many as were asked."""
    assert ordered(settings, "create", "acme", "hub").exit_code == 0
    topic = settings.topic("siem.acme.hub")
    transactional = Producer(
        {
            "bootstrap.servers": settings.kafka.bootstrap_servers,
            "transactional.id": f"{settings.group}.tail",
        }
    )
    transactional.init_transactions(10)
    for value, end in (
        (b"aborted", transactional.abort_transaction),
        (b'{"seq":1}', transactional.commit_transaction),
    ):
        transactional.begin_transaction()
        transactional.produce(topic, value, partition=0)
        transactional.flush(10)
        end(10)
    shown = ordered(settings, "tail", "acme", "hub", "--from-beginning", "--limit", "1")
    assert (shown.exit_code, shown.output) == (0, '{"seq":1}\n')
    missing = ordered(settings, "tail", "acme", "ecs")
    assert missing.exit_code == 1
    assert missing.output == "hub-audit: there is no subscription siem.acme.ecs\n"


def test_orders_are_carried_out_and_told(settings: Settings) -> None:
    """Pausing, resuming, testing and deleting each change the subscription and are in the log."""
    assert ordered(settings, "create", "acme", "hub").exit_code == 0
    for order, state in (("pause", "paused"), ("resume", "active"), ("test", "active")):
        assert ordered(settings, order, "acme", "hub").exit_code == 0
        (shown,) = json.loads(ordered(settings, "list", "--json").output)
        assert shown["state"] == state
    assert ordered(settings, "delete", "acme", "hub", "--yes").exit_code == 0
    assert ordered(settings, "list").output == "no subscriptions\n"
    assert len(told(settings)) == 5
    admin = AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers})
    assert settings.topic("siem.acme.hub") not in admin.list_topics(timeout=10).topics


def test_nothing_is_deleted_without_a_yes(settings: Settings) -> None:
    """The question names the topic as it is named on the bus."""
    topic = settings.topic("siem.acme.hub")
    assert ordered(settings, "create", "acme", "hub").exit_code == 0
    left = ordered(settings, "delete", "acme", "hub", stdin="n\n")
    assert left.exit_code == 1
    assert left.output.startswith(f"delete the subscription and the topic {topic}? [y/N]: n\n")
    assert ordered(settings, "list").output.startswith(f"{topic} ")


async def test_orders_say_what_they_wait_for(settings: Settings, postgres_dsn: str) -> None:
    """Nothing is said to be delivered that a pause, or the lack of a forwarder, holds up."""

    async def said(*order: str) -> str:
        """Return what a command says."""
        done = await asyncio.to_thread(ordered, settings, order[0], "acme", "hub", *order[1:])
        assert done.exit_code == 0, done.output
        return done.output.rstrip()

    await said("create")
    query(
        postgres_dsn,
        "UPDATE subscriptions SET forwarded_through = 9, delivered_at = '2026-11-30 12:00:00.25Z'",
    )
    listed = await asyncio.to_thread(ordered, settings, "list")
    assert listed.output.endswith("last delivered 2026-11-30T12:00:00.250Z\n")
    assert await said("test") == "a test event is ordered (delivered when a forwarder runs)"
    query(
        postgres_dsn, "INSERT INTO forwarders (instance, seen_at) VALUES (gen_random_uuid(), now())"
    )
    assert await said("test") == "a test event is ordered"
    assert await said("replay", "--after", "2") == "entries up to 9 are ordered again"
    await said("pause")
    waits = "(delivered when it is resumed)"
    assert await said("test") == f"a test event is ordered {waits}"
    assert await said("replay", "--after", "2") == f"entries up to 9 are ordered again {waits}"


async def test_page_says_what_orders_wait_for(kafka: str, postgres_dsn: str) -> None:
    """As the command does; what is shown beside it says the same."""
    async with serving.opened(kafka, postgres_dsn) as place, place.browser() as client:
        token = place.issuer.token(PEOPLE[0])
        client.headers.update({"Authorization": f"Bearer {token}", "Origin": place.url})
        assert (await client.post("/siem", data={"format": "hub"})).status_code == 303
        for order, said in (
            ("test", "A test event is ordered (delivered when a forwarder runs)."),
            ("pause", "Paused. The position is kept for as long as entries are kept."),
            ("test", "A test event is ordered (delivered when it is resumed)."),
            ("delete", "The subscription and its topic are deleted."),
        ):
            shown = await client.post(f"/siem/hub/{order}", follow_redirects=True)
            assert f'role="status">{said}</p>' in shown.text


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("pause", "acme", "hub"), "there is no subscription siem.acme.hub"),
        (("create", "acme.eu", "hub"), "1 to 128 characters of A-Z a-z 0-9 _ -"),
        (("create", "acme", "xml"), "'xml' is not"),
        (("create", "acme", "hub", "--action", "user.bought"), "no such action: user.bought"),
        (
            ("create", "acme", "hub", "--action", "auth.logout", "--severity-min", "9"),
            "no entry can pass this filter",
        ),
        (("replay", "acme", "hub"), "say either --after or --since"),
    ],
)
def test_orders_that_make_no_sense_are_refused(
    settings: Settings, arguments: tuple[str, ...], complaint: str
) -> None:
    """What cannot be done is said in a line, changes nothing and is not told."""
    refused = ordered(settings, *arguments)
    assert refused.exit_code in (1, 2)
    assert complaint in refused.output
    assert told(settings) == []


def test_replay_of_what_was_never_delivered_is_refused(settings: Settings) -> None:
    """There is nothing to repeat before anything was delivered."""
    assert ordered(settings, "create", "acme", "hub").exit_code == 0
    refused = ordered(settings, "replay", "acme", "hub", "--after", "0")
    assert refused.output == ("hub-audit: nothing after 0 has been delivered: the last one is 0\n")
