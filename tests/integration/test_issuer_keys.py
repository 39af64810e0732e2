"""The issuer's keys: when they are asked for, how long they are kept, and what if it is away."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from starlette.responses import JSONResponse, RedirectResponse, Response

from processor.api import tokens
from processor.api.problems import Problem
from processor.api.tokens import Verifier
from processor.demo.issuer import PEOPLE
from tests.integration.issuing import CountingIssuer, counting, trusting

OLIVIA = PEOPLE[0]
ODD_ID = {"kty": "OKP", "crv": "Ed25519", "x": "A" * 43, "kid": ["x"]}


@pytest.fixture
async def issuer() -> AsyncIterator[CountingIssuer]:
    """Give an issuer that is served."""
    async with counting() as issuer:
        yield issuer


async def test_new_key_is_found_and_the_old_one_is_gone(issuer: CountingIssuer) -> None:
    """After the issuer turned its key, new tokens are taken and old ones are not."""
    verifier = trusting(issuer)
    old = issuer.token(OLIVIA)
    await verifier.verify(old)
    issuer.turn_key()
    verifier._asked_at -= tokens.REFRESH_SECONDS_MIN
    await verifier.verify(issuer.token(OLIVIA))
    with pytest.raises(Problem):
        await verifier.verify(old)


async def test_key_taken_back_is_noticed_without_a_new_one(issuer: CountingIssuer) -> None:
    """Kept keys are asked for again after a while, so that a stolen one ends."""
    verifier = trusting(issuer)
    old = issuer.token(OLIVIA)
    await verifier.verify(old)
    issuer.turn_key()
    await verifier.verify(old)
    aged(verifier, tokens.KEYS_SECONDS_MAX)
    await verifier.verify(old)
    await asked_again(verifier)
    with pytest.raises(Problem):
        await verifier.verify(old)


async def test_issuer_that_hangs_keeps_nobody_waiting(issuer: CountingIssuer) -> None:
    """Whose key is known gets in at once, and the issuer is asked for one time beside that."""
    verifier, token = trusting(issuer), issuer.token(OLIVIA)
    await verifier.verify(token)
    aged(verifier, tokens.KEYS_SECONDS_MAX)
    begun, over = issuer.silence = asyncio.Event(), asyncio.Event()
    issuer.asked = 0
    async with asyncio.timeout(2):  # less than what the issuer is given
        for _ in range(20):
            await verifier.verify(token)
        await begun.wait()
        await verifier.verify(token)
    assert issuer.asked == 1
    over.set()
    await verifier.aclose()


async def test_keys_that_get_old_are_said_to_and_end(
    issuer: CountingIssuer, caplog: pytest.LogCaptureFixture
) -> None:
    """While the issuer is away its keys are taken for a day, and not without a word; then none."""
    verifier, token = trusting(issuer), issuer.token(OLIVIA)
    await verifier.verify(token)
    issuer.answer = Response("down", status_code=503)
    aged(verifier, tokens.KEYS_SECONDS_MAX)
    await verifier.verify(token)
    assert verifier.away_seconds() == 0
    await asked_again(verifier)
    (said,) = [each for each in caplog.records if each.message == "issuer_keys_stale"]
    assert said.__dict__["age_seconds"] == tokens.KEYS_SECONDS_MAX
    since = verifier._away_since
    assert 0 < verifier.away_seconds() < tokens.KEYS_SECONDS_MAX
    aged(verifier, tokens.STALE_SECONDS_MAX)
    for _ in range(2):
        with pytest.raises(Problem) as refused:
            await verifier.verify(token)
        assert refused.value.code == "issuer_away"
    assert verifier._away_since == since
    issuer.answer = None
    verifier._asked_at -= tokens.RETRY_SECONDS_MIN
    await verifier.verify(token)
    assert verifier.away_seconds() == 0


def aged(verifier: Verifier, seconds: float) -> None:
    """Have so much time passed since the keys were asked for, and given."""
    verifier._asked_at -= seconds
    verifier._fetched_at -= seconds


async def asked_again(verifier: Verifier) -> None:
    """Wait until the issuer has been asked for its keys, beside what was to be done."""
    assert verifier._refreshing is not None
    await verifier._refreshing


@pytest.mark.parametrize(
    "answer",
    [
        Response("down", status_code=503),
        Response("{"),
        JSONResponse({"keys": []}),
        JSONResponse({"keys": "none"}),
        JSONResponse([]),
        Response("[" * 60_000),
        JSONResponse({"keys": [ODD_ID]}),
        RedirectResponse("http://127.0.0.1:1/jwks"),
        Response(b'{"keys": [], "x": "' + b"x" * 100_000 + b'"}'),
        JSONResponse({"keys": [{"kty": "oct", "k": "AAAA", "kid": "x", "alg": "HS256"}]}),
    ],
    ids=[
        "503",
        "no JSON",
        "empty",
        "no list",
        "no object",
        "deep",
        "odd id",
        "redirect",
        "endless",
        "symmetric",
    ],
)
async def test_keys_known_are_kept_while_the_issuer_is_away(
    issuer: CountingIssuer, answer: Response
) -> None:
    """An issuer that is down lets nobody new in, is asked at most once a second, and heals."""
    token = issuer.token(OLIVIA)
    settled = trusting(issuer)
    await settled.verify(token)
    issuer.answer, issuer.asked = answer, 0
    starting = trusting(issuer)
    for _ in range(3):
        with pytest.raises(Problem) as refused:
            await starting.verify(token)
        assert refused.value.kind.status in {401, 503}
    assert issuer.asked == 1
    aged(settled, tokens.KEYS_SECONDS_MAX)
    await settled.verify(token)
    await asked_again(settled)
    if b'"oct"' not in bytes(answer.body):  # which is a set of keys, but of none that is taken
        await settled.verify(token)
    issuer.answer = None
    starting._asked_at -= tokens.RETRY_SECONDS_MIN
    await starting.verify(token)
