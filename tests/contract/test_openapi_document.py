"""What ``/openapi.json`` says: who may ask, and every answer there is, for those who read it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from processor.api.access import COOKIE
from processor.api.app import create_app
from processor.api.problems import KINDS, MEDIA_TYPE, Problem
from processor.settings import Settings

DOCUMENT = create_app(Settings.load(env={})).openapi()

GUARDED = "401 403 429 503"
ANSWERS = {
    "get /v1/audit-entries": f"200 400 {GUARDED}",
    "get /v1/audit-entries.csv": f"200 400 {GUARDED}",
    "get /v1/audit-entries.ndjson": f"200 400 {GUARDED}",
    "get /v1/audit-entries/{entry_id}": "200 400 401 403 404 429 503",
    "get /v1/catalogue": "200",
    "get /v1/exports/manifest": f"200 400 {GUARDED}",
    "get /v1/facets": f"200 400 {GUARDED}",
    "get /v1/feed": f"200 400 {GUARDED}",
    "get /v1/findings": f"200 400 {GUARDED}",
    "get /v1/findings/{finding_id}": "200 400 401 403 404 429 503",
    "post /v1/findings/{finding_id}/acknowledge": "200 400 401 403 404 429 503",
    "get /v1/histogram": f"200 400 {GUARDED}",
    "get /v1/ranges": f"200 {GUARDED}",
    "get /v1/service-tokens": f"200 {GUARDED}",
    "post /v1/service-tokens": f"201 400 {GUARDED}",
    "delete /v1/service-tokens/{token_id}": "204 400 401 403 404 429 503",
    "post /v1/service-tokens/{token_id}/rotate": "201 400 401 403 404 429 503",
    "get /v1/subscriptions": f"200 {GUARDED}",
    "post /v1/subscriptions": "201 400 401 403 408 409 413 429 503",
    "delete /v1/subscriptions/{format}": "200 204 400 401 403 404 429 503",
    "get /v1/subscriptions/{format}": "200 400 401 403 404 429 503",
    "post /v1/subscriptions/{format}/pause": "200 400 401 403 404 429 503",
    "post /v1/subscriptions/{format}/replay": "202 400 401 403 404 408 413 429 503",
    "post /v1/subscriptions/{format}/resume": "200 400 401 403 404 429 503",
    "post /v1/subscriptions/{format}/test": "202 400 401 403 404 429 503",
    "get /v1/suggest": f"200 400 {GUARDED}",
    "get /v1/tail": f"200 400 {GUARDED}",
    "get /schemas/{file}": "200 400 404",
    "get /schemas/{name}/{version}": "200 400 404",
}


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every operation by its method and path."""
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield f"{method} {path}", operation


def described(node: Any) -> Iterator[str]:
    """Yield every description of the document."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == "description" and isinstance(value, str):
                yield value
            yield from described(value)
    elif isinstance(node, list):
        for each in node:
            yield from described(each)


def test_every_answer_is_documented() -> None:
    """Of each operation the statuses that it has, and none that a framework made up."""
    assert {name: " ".join(each["responses"]) for name, each in operations()} == ANSWERS


def test_refusals_are_problem_documents() -> None:
    """Of the media type that is sent, with an example of each code, of the one schema."""
    schema = Draft202012Validator(DOCUMENT["components"]["schemas"]["Problem"])
    seen = set()
    for name, operation in operations():
        for status, answer in operation["responses"].items():
            if status < "400":
                continue
            (media,) = answer["content"].items()
            assert media[0] == MEDIA_TYPE, name
            assert media[1]["schema"] == {"$ref": "#/components/schemas/Problem"}, name
            for code, example in media[1]["examples"].items():
                assert example["value"] == Problem(code).document()
                assert str(KINDS[code].status) == status, name
                schema.validate(example["value"])
                seen.add(code)
    assert seen == KINDS.keys() - {"method_not_allowed", "internal"}


@pytest.mark.parametrize(
    ("operation", "codes"),
    [
        ("get /v1/audit-entries", "request_invalid filter_invalid cursor_invalid"),
        ("get /v1/findings", "request_invalid cursor_invalid"),
        ("get /v1/suggest", "request_invalid"),
        ("get /v1/facets", "request_invalid filter_invalid"),
        ("post /v1/subscriptions/{format}/pause", "request_invalid"),
    ],
)
def test_what_may_be_wrong_with_a_request_is_named(operation: str, codes: str) -> None:
    """A program that handles one code need not look for others."""
    answer = dict(operations())[operation]["responses"]["400"]
    assert set(answer["content"][MEDIA_TYPE]["examples"]) == set(codes.split())


def test_who_may_ask_is_said() -> None:
    """By a token, or by the page's session; the contracts and the catalogue are for everybody."""
    schemes = DOCUMENT["components"]["securitySchemes"]
    assert (schemes["token"]["type"], schemes["token"]["scheme"]) == ("http", "bearer")
    session = {name: schemes["session"][name] for name in ("type", "in", "name")}
    assert session == {"type": "apiKey", "in": "cookie", "name": COOKIE}
    assert DOCUMENT["security"] == [{"token": []}, {"session": []}]
    public = {name for name, each in operations() if each.get("security") == []}
    assert public == {name for name, answers in ANSWERS.items() if "401" not in answers}


def test_schemas_are_named_for_their_readers() -> None:
    """What generated clients call their types."""
    assert set(DOCUMENT["components"]["schemas"]) == {
        *("Connection", "Filter", "Problem", "ReplayProgress", "ReplayRequest", "RightsLeft"),
        *("Subscription", "SubscriptionList", "SubscriptionRequest"),
    }


def test_descriptions_are_markdown() -> None:
    """No marks of docstrings and no broken lines are left in what people read."""
    texts = list(described(DOCUMENT))
    assert len(texts) > 100
    for text in texts:
        assert "``" not in text
        assert "\n" not in text.replace("\n\n", "")
        assert text == text.strip()
    assert "HTTPValidationError" not in json.dumps(DOCUMENT)
