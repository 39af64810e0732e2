"""SIEM subscriptions over the API: an organization serves itself, and nobody else."""

import secrets
from collections.abc import Iterator

import httpx
import orjson
import pytest

from processor.demo.issuer import Person
from tests.acceptance.site import Site
from tests.integration import bus

pytestmark = pytest.mark.timeout(120)

API = "/v1/subscriptions"


def somebody(org_id: str, role: str = "Owner") -> Person:
    """Return a person of an organization that no other test has."""
    return Person(f"usr_{role.lower()}", f"Some {role}", f"{role}@{org_id}.example", org_id, role)


class Client(httpx.Client):
    """An Owner's program, of an organization of its own."""

    def __init__(self, site: Site, org_id: str = "", role: str = "Owner") -> None:
        """Get a token."""
        self.org_id = org_id or f"org-{secrets.token_hex(4)}"
        self.site = site
        token = site.token(somebody(self.org_id, role))
        super().__init__(
            base_url=site.url, headers={"Authorization": f"Bearer {token}"}, timeout=30
        )

    def told(self) -> list[tuple[str, dict[str, object]]]:
        """Return what the log of the log was told of this organization."""
        records = bus.read(self.site.bootstrap, [f"{self.site.prefix}raw.audit"])
        return [
            (bus.headers_of(each)["ce_type"].decode(), orjson.loads(bus.value_of(each)))
            for each in records
            if bus.headers_of(each)["ce_orgid"].decode() == self.org_id
        ]


@pytest.fixture
def owner(the_site: Site) -> Iterator[Client]:
    """Give an Owner of an organization of the test's own."""
    with Client(the_site) as client:
        yield client


def test_subscription_is_made_and_shown(owner: Client) -> None:
    """Creating makes the topic and answers with all that a SIEM engineer needs to read it."""
    wanted = {"format": "ocsf", "filter": {"categories": ["users"], "severity_min": 3}}
    made = owner.post(API, json=wanted)
    assert made.status_code == 201, made.text
    topic = f"{owner.site.prefix}siem.{owner.org_id}.ocsf"
    answer = made.json()
    assert answer.pop("created_at")
    assert answer.pop("acl_commands") == acl_commands(owner, topic)
    assert answer == {
        "format": "ocsf",
        "state": "active",
        "reason": None,
        "reason_since": None,
        "filter": {"actions": [], "categories": ["users"], "outcomes": [], "severity_min": 3},
        "through_seq": 0,
        "head_seq": 0,
        "lag_entries": 0,
        "last_delivered_at": None,
        "replay": None,
        "test_pending": False,
        "access": "open",
        "connection": {
            "bootstrap_servers": owner.site.bootstrap,
            "security_protocol": "PLAINTEXT",
            "topic": topic,
            "group_id": f"siem.{owner.org_id}",
            "isolation_level": "read_committed",
            "principal": f"User:siem-{owner.org_id}",
        },
        "warnings": [
            "no entry of the last 90 days would have passed this filter: is it what you want?"
        ],
    }
    assert bus.read(owner.site.bootstrap, [topic]) == []


def test_orders_are_carried_out_and_told(owner: Client) -> None:
    """Test, pause, resume and delete answer with how it stands then, and are in the log."""
    wanted = {"format": "ocsf", "filter": {"categories": ["users"], "severity_min": 3}}
    assert owner.post(API, json=wanted).status_code == 201
    for order, status, state in (("test", 202, "active"), ("pause", 200, "paused"),
                                 ("resume", 200, "active")):  # fmt: skip
        done = owner.post(f"{API}/ocsf/{order}")
        assert (done.status_code, done.json()["state"]) == (status, state)
    (listed,) = owner.get(API).json()["subscriptions"]
    assert (listed["format"], listed["test_pending"]) == ("ocsf", True)
    assert owner.delete(f"{API}/ocsf").status_code == 204
    assert owner.get(API).json() == {"subscriptions": [], "forwarder_running": False}
    kinds = {kind for kind, _ in owner.told()}
    assert kinds == {"audit.subscription.changed.v1"}
    assert [told["after"] for _, told in owner.told()] == [
        {
            "state": "active",
            "filter": {"categories": ["users"], "severity_min": 3},
        },
        {"test": True},
        {"state": "paused"},
        {"state": "active"},
        {"state": "deleted"},
    ]


def acl_commands(owner: Client, topic: str) -> list[str]:
    """Return what lets an organization's SIEM read a topic."""
    who = f"kafka-acls.sh --bootstrap-server {owner.site.bootstrap} --add --allow-principal"
    allowed, literal = f"{who} User:siem-{owner.org_id}", "--resource-pattern-type literal"
    return [
        f"{allowed} --operation Read --operation Describe --topic {topic} {literal}",
        f"{allowed} --operation Read --group siem.{owner.org_id} {literal}",
    ]


@pytest.mark.parametrize(
    ("order", "body", "status", "code", "said"),
    [
        ("POST ", {"format": "xml"}, 400, "request_invalid", "'hub', 'ocsf', 'ecs' or 'cef'"),
        ("POST ", {"format": "hub", "filter": {"actions": ["user.bought"]}}, 400,
         "request_invalid", "no such action: user.bought"),
        ("POST ", {"format": "hub", "filter": {"actions": ["auth.logout"], "severity_min": 9}},
         400, "request_invalid", "no entry can pass this filter"),
        ("POST ", {"format": "hub", "org_id": "acme"}, 400, "request_invalid", "org_id"),
        ("GET /hub", None, 404, "not_found", "there is no subscription"),
        ("POST /hub/pause", None, 404, "not_found", "there is no subscription"),
        ("POST /hub/replay", {}, 400, "request_invalid", "say either after_seq or since"),
        ("POST /hub/replay", {"since": "0001-01-01T00:00:00+14:00"}, 400, "request_invalid",
         "a year from 1970 to 9998 expected"),
        ("DELETE /hub", None, 404, "not_found", "there is no subscription"),
        ("DELETE /xml", None, 400, "request_invalid", "'hub', 'ocsf', 'ecs' or 'cef'"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_a_problem(
    owner: Client, order: str, body: object, status: int, code: str, said: str
) -> None:
    """A wrong order is answered by a problem document that says what is wrong, and is not told."""
    method, path = order.split(" ")
    answer = owner.request(method, API + path, json=body)
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert said in answer.json()["detail"]
    assert owner.told() == []


def test_second_subscription_of_a_format_is_refused(owner: Client) -> None:
    """There is one of a format; the second is a conflict that names the topic."""
    assert owner.post(API, json={"format": "hub"}).status_code == 201
    again = owner.post(API, json={"format": "hub"})
    assert (again.status_code, again.json()["code"]) == (409, "subscription_exists")
    assert again.json()["detail"] == f"siem.{owner.org_id}.hub exists already"
    nothing = owner.post(f"{API}/hub/replay", json={"after_seq": 0})
    assert nothing.json()["detail"] == "nothing after 0 has been delivered: the last one is 0"


def test_organization_is_the_tokens(owner: Client, the_site: Site) -> None:
    """Nobody sees or changes what another organization subscribed to."""
    assert owner.post(API, json={"format": "hub"}).status_code == 201
    with Client(the_site) as stranger:
        assert stranger.get(API).json()["subscriptions"] == []
        orders = (("GET", f"{API}/hub"), ("POST", f"{API}/hub/pause"), ("DELETE", f"{API}/hub"))
        for method, path in orders:
            assert stranger.request(method, path).status_code == 404
            named = stranger.request(method, path, params={"org_id": owner.org_id})
            assert named.status_code == 400
    assert owner.get(f"{API}/hub").json()["state"] == "active"


@pytest.mark.parametrize("role", ["Auditor", "Member"])
def test_others_are_refused_and_that_is_told(owner: Client, the_site: Site, role: str) -> None:
    """Who may read the log may not say where it goes; trying is in the log."""
    with Client(the_site, owner.org_id, role) as other:
        for method, path in (("GET", API), ("POST", API), ("POST", f"{API}/hub/pause")):
            answer = other.request(method, path, json={"format": "hub"})
            assert (answer.status_code, answer.json()["code"]) == (403, "permission_missing")
    told = owner.told()
    assert {kind for kind, _ in told} == {"audit.denied.v1"}
    assert {data["reason"] for _, data in told} == {"audit.subscribe is missing"}


def test_cookie_orders_only_from_the_page(owner: Client, the_site: Site) -> None:
    """A browser's session orders nothing for another site, by the API as little as by a form."""
    cookies = {"hub_audit_session": the_site.token(somebody(owner.org_id))}
    with httpx.Client(base_url=the_site.url, cookies=cookies, timeout=30) as browser:
        for headers in ({}, {"Origin": "https://evil.example"}):
            refused = browser.post(API, json={"format": "hub"}, headers=headers)
            assert (refused.status_code, refused.json()["code"]) == (403, "csrf")
            form = browser.post("/siem", data={"format": "hub"}, headers=headers)
            assert form.status_code == 403
        assert browser.get(API).json()["subscriptions"] == []
        made = browser.post(API, json={"format": "hub"}, headers={"Origin": the_site.url})
        assert made.status_code == 201
