"""The API against its own description: whatever fits the OpenAPI document is answered well."""

from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.core.result import Ok

from tests.acceptance.site import Site

pytestmark = pytest.mark.timeout(300)

REFUSAL, ERROR_OF_OURS = 400, 500
MEDIA_TYPE = "application/problem+json"


def test_no_request_is_too_much(the_site: Site) -> None:
    """No request, right or wrong, meets an error of ours; every refusal has a stable code."""
    schema = schemathesis.openapi.from_url(f"{the_site.url}/openapi.json")
    headers = {"Authorization": f"Bearer {the_site.token()}"}
    asked = 0
    # The tail never ends by itself.
    for operation in schema.exclude(path="/v1/tail").get_all_operations():
        assert isinstance(operation, Ok)

        @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.ok().as_strategy())
        def ask(case: Any) -> None:
            """Ask what the document allows."""
            nonlocal asked
            asked += 1
            answer = case.call(headers=headers)
            assert answer.status_code < ERROR_OF_OURS, answer.text
            if answer.status_code >= REFUSAL:
                assert answer.headers["content-type"] == [MEDIA_TYPE], answer.text
                assert answer.json()["code"]

        ask()
    assert asked > 200


def test_description_is_openapi_3_1(the_site: Site) -> None:
    """The document says which version it is of, and names every way to read."""
    document = httpx.get(f"{the_site.url}/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    wanted = {"/v1/audit-entries", "/v1/feed", "/v1/ranges", "/v1/facets", "/v1/histogram"}
    assert wanted | {"/v1/audit-entries.csv", "/v1/tail"} <= document["paths"].keys()
