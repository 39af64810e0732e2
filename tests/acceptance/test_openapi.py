"""The API against its own description: what fits the OpenAPI document is answered as it says."""

from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft202012Validator
from schemathesis.core.result import Ok
from schemathesis.specs.openapi import checks

from tests.acceptance.site import MIA, Site

pytestmark = pytest.mark.timeout(300)

REFUSAL, ERROR_OF_OURS = 400, 500
MEDIA_TYPE = "application/problem+json"
AS_DOCUMENTED = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
NAMED = {
    "entry_id": "018f0000-0000-8000-8000-000000000000",
    "finding_id": "018f0000-0000-8000-8000-000000000000",
    "token_id": "018f0000-0000-4000-8000-000000000000",
    "format": "hub",
    "file": "entry.json",
    "name": "entry",
    "version": "1",
}


def test_no_request_is_too_much(the_site: Site) -> None:
    """No request, right or wrong, meets an error of ours; every answer is one of those documented.

    Status, media type, headers, and what the body is like.
    """
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
            case.validate_response(answer, checks=AS_DOCUMENTED)

        ask()
    assert asked > 200


@pytest.mark.parametrize(
    ("person", "status", "code"),
    [(None, 401, "token_missing"), (MIA, 403, "permission_missing")],
    ids=["nobody", "a member"],
)
def test_who_may_not_ask_is_refused_as_documented(
    the_site: Site, person: Any, status: int, code: str
) -> None:
    """Every operation that wants to know who asks says so, and those for everybody do not."""
    document = httpx.get(f"{the_site.url}/openapi.json").json()
    schema = Draft202012Validator(document["components"]["schemas"]["Problem"])
    headers = {"Authorization": f"Bearer {the_site.token(person)}"} if person else {}
    refused = 0
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            url = the_site.url + path.format(**NAMED)
            answer = httpx.request(method, url, headers=headers)
            if operation.get("security") == []:
                assert answer.status_code == 200, url
                continue
            assert (answer.status_code, answer.json()["code"]) == (status, code), url
            documented = operation["responses"][str(status)]
            assert code in documented["content"][MEDIA_TYPE]["examples"], url
            assert answer.headers["content-type"] == MEDIA_TYPE
            assert all(name in answer.headers for name in documented.get("headers", ()))
            schema.validate(answer.json())
            refused += 1
    assert refused > 20


def test_description_is_openapi_3_1(the_site: Site) -> None:
    """The document says which version it is of, and names every way to read."""
    document = httpx.get(f"{the_site.url}/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    wanted = {"/v1/audit-entries", "/v1/feed", "/v1/ranges", "/v1/facets", "/v1/histogram"}
    assert wanted | {"/v1/audit-entries.csv", "/v1/tail"} <= document["paths"].keys()
