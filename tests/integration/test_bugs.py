"""What somebody sees of an error of ours, and who else does."""

import logging

import pytest

from processor.api.access import COOKIE
from processor.api.app import HEADERS
from tests.acceptance.site import OLIVIA
from tests.integration.serving import Place
from tests.integration.store import query


async def test_error_of_ours_is_answered_counted_and_logged(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """People get a page and programs JSON, with all headers and nothing of the inside."""
    caplog.set_level(logging.ERROR, logger="uvicorn.error")  # a command may have made it quiet
    query(place.dsn, "ALTER TABLE saved_views RENAME TO gone; ALTER TABLE seq_gaps RENAME TO lost")
    token = place.issuer.token(OLIVIA)
    accepted = {"Accept": "text/html"}
    async with place.browser() as client:
        client.cookies.set(COOKIE, token)
        page = await client.get("/log", headers=accepted)
        document = await client.get("/v1/feed", headers=accepted)
        exposition = (await client.get("/metrics")).text
    assert "Internal error" in page.text
    assert document.json()["code"] == "internal"
    for answer, path in ((page, "/log"), (document, "/v1/feed")):
        assert answer.status_code == 500
        assert answer.headers.items() >= {n.lower(): text for n, text in HEADERS.items()}.items()
        assert answer.headers["cache-control"] == "no-store"
        assert "UndefinedTable" not in answer.text
        assert f'_request_seconds_count{{route="{path}",status="500"}}' in exposition
    errors = (each for each in caplog.records if each.levelno == logging.ERROR)
    assert sum("UndefinedTable" in (each.exc_text or "") for each in errors) == 2
