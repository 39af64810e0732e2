"""Orders for subscriptions beside all else that is asked: whom they keep waiting, what is told."""

import asyncio
from typing import Any

import httpx
import psycopg

from processor.demo.issuer import PEOPLE
from tests.integration.serving import Place
from tests.integration.store import SOMEBODY_WAITS, until

OLIVIA = PEOPLE[0]
PROBE_SECONDS = 3.0
"""How long Kubernetes waits for an answer: ``deploy/kubernetes``."""


def ordering(place: Place, client: httpx.AsyncClient, **order: Any) -> list[asyncio.Task[Any]]:
    """Send the same order twelve times at once."""
    sent = {"Authorization": f"Bearer {place.issuer.token(OLIVIA)}"}
    return [
        asyncio.create_task(
            client.post("/v1/subscriptions", json=order, headers=sent, timeout=60)
        )
        for _ in range(12)
    ]  # fmt: skip


async def test_orders_keep_no_program_and_no_probe_waiting(place: Place) -> None:
    """Looking whether a filter lets anything pass takes 2 s each: nobody else waits for that."""
    program = (await place.ordered("create", "globex", "pull"))["token"]
    async with place.browser() as client:
        with psycopg.connect(place.dsn) as holder:
            holder.execute("LOCK TABLE audit_entries IN ACCESS EXCLUSIVE MODE")
            orders = ordering(place, client, format="hub", filter={"severity_min": 5})
            await until(place.dsn, SOMEBODY_WAITS)
            asked = {"Authorization": f"Bearer {program}"}
            for path in ("/readyz", "/v1/suggest?text=a"):
                answer = await client.get(path, headers=asked, timeout=PROBE_SECONDS)
                assert answer.status_code == 200, path
        await asyncio.gather(*orders)


async def test_probe_waits_for_nobody(place: Place) -> None:
    """Whatever else is slow: the store that answers is there."""
    program = (await place.ordered("create", "globex", "pull"))["token"]
    asked = {"Authorization": f"Bearer {program}"}
    async with place.browser() as client:
        with psycopg.connect(place.dsn) as holder:
            holder.execute("LOCK TABLE service_tokens IN ACCESS EXCLUSIVE MODE")
            known = [client.get("/v1/suggest?text=a", headers=asked, timeout=60) for _ in range(8)]
            waiting = [asyncio.create_task(each) for each in known]
            await until(place.dsn, SOMEBODY_WAITS)
            assert (await client.get("/readyz", timeout=PROBE_SECONDS)).status_code == 200
        answers = await asyncio.gather(*waiting)
    assert {answer.status_code for answer in answers} == {200}


async def test_only_the_order_that_is_done_is_told(place: Place) -> None:
    """Of a dozen at once one is done, the others are told so, and the log of one creation."""
    async with place.browser() as client:
        answers = await asyncio.gather(*ordering(place, client, format="hub"))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses == [201, *[409] * 11]
    assert [data["after"]["state"] for _, data in place.told()] == ["active"]
