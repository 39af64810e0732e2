"""What befalls acme while somebody watches: attacks, and what its endpoints report.

Every so often an attack is played: failed logins by the dozen, then perhaps one that succeeds; or a
report of malware, and soon after it a grant by the same person. Defend finds each within seconds.
"""

import asyncio
import itertools
import time
from collections.abc import Iterator
from random import Random
from typing import Any

import orjson
from aiokafka import AIOKafkaProducer

from processor.demo.generator import timestamp
from processor.demo.history import ACME, FOREIGN_ADDRESS, Told, published
from processor.demo.world import Person
from schemas.telemetry import TELEMETRY_TOPIC, Verdict

FIRST_SECONDS, EVERY_SECONDS = 15.0, 120.0
ATTEMPTS = 14
ATTEMPT_SECONDS = 0.7
REPORT_SECONDS = 1.0
GRANT_SECONDS = 3.0
PROCESSES = ("zoom", "chrome", "slack", "code", "outlook", "python3")


async def attacks(bootstrap_servers: str, *, seed: int) -> None:
    """Attack acme now and then, and have its endpoints report, until cancelled."""
    async with (
        AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all") as producer,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(_endpoints(producer, Random(seed)))
        await asyncio.sleep(FIRST_SECONDS)
        chance = Random(seed)
        for number in itertools.count():
            victim = chance.choice(ACME.people[2:])
            story = f"live-{int(time.time())}"
            if number % 3 == 2:  # noqa: PLR2004 - two attacks on an account, then malware
                await _malware(producer, story, chance.choice(ACME.people[:2]))
            else:
                await _brute_force(producer, story, victim, enters=number % 2 == 1)
            await asyncio.sleep(EVERY_SECONDS)


def report(number: str, at_ms: int, who: Person, process: str, verdict: Verdict) -> dict[str, Any]:
    """Return what the agent on somebody's machine reports."""
    return {
        "id": number,
        "time": timestamp(at_ms),
        "orgid": ACME.id,
        "host": {"id": f"host-{who.id}", "name": f"{who.name.split()[0].upper()}-LAPTOP"},
        "user": {"id": who.id, "email": who.email},
        "process": {"name": process},
        "verdict": verdict,
    }


async def _endpoints(producer: AIOKafkaProducer, chance: Random) -> None:
    """Report, again and again, that all is well."""
    for number in itertools.count():
        who, process = chance.choice(ACME.people), chance.choice(PROCESSES)
        name = f"rep-{int(time.time())}-{number}"
        await _tell(producer, report(name, _now_ms(), who, process, "benign"))
        await asyncio.sleep(REPORT_SECONDS)


async def _brute_force(
    producer: AIOKafkaProducer, story: str, victim: Person, *, enters: bool
) -> None:
    stranger = victim._replace(ip=FOREIGN_ADDRESS, user_agent="python-requests/2.32")
    for number, (name, data) in enumerate(_attempts(victim, enters=enters)):
        await _happen(producer, story, number, Told(_now_ms(), name, stranger, data))
        await asyncio.sleep(ATTEMPT_SECONDS)


def _attempts(victim: Person, *, enters: bool) -> Iterator[tuple[str, dict[str, Any]]]:
    for attempt in range(1, ATTEMPTS + 1):
        data = {"method": "password", "reason": "invalid_credentials", "attempt": attempt}
        yield "identity.login.failed.v1", data | {"identifier": victim.email}
    if enters:
        data = {"method": "password", "mfa": False, "new_device": True}
        yield "identity.login.succeeded.v1", data


async def _malware(producer: AIOKafkaProducer, story: str, admin: Person) -> None:
    found = report(f"rep-{story}", _now_ms(), admin, "lsass-dump.exe", "malicious")
    await _tell(producer, found | {"title": "Credential theft tool"})
    await asyncio.sleep(GRANT_SECONDS)
    friend = ACME.people[7]
    target = {"type": "user", "id": friend.id, "email": friend.email, "name": friend.name}
    data = {"target": target, "added": ["keys.rotate", "members.remove"], "removed": []}
    told = Told(_now_ms(), "permission.grants.changed.v1", admin, data)
    await _happen(producer, story, 0, told)


async def _happen(producer: AIOKafkaProducer, story: str, number: int, told: Told) -> None:
    each = published(story, number, told)
    await producer.send_and_wait(each.topic, each.value, each.key, headers=list(each.headers))


async def _tell(producer: AIOKafkaProducer, told: dict[str, Any]) -> None:
    await producer.send_and_wait(TELEMETRY_TOPIC, orjson.dumps(told), ACME.id.encode())


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
