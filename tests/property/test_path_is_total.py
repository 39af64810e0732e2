"""The pure half of the path, from decode to canonical event, on events spoiled anywhere."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from processor.emit.route import canonical
from processor.normalize import normalize
from schemas.raw.envelope import Event
from schemas.rejection import Discard, Reason, Rejection
from tests.contract.canonical_examples import LIMITS, RAW
from tests.property.test_decode_is_total import TEXT, TREES, judged

EXAMPLES = [json.loads(path.read_bytes()) for path in RAW]


def spoil(example: dict[str, Any], path: list[int], value: Any) -> dict[str, Any]:
    """Return a copy of a raw event with one member of its data, at any depth, replaced."""
    event: dict[str, Any] = json.loads(json.dumps(example))
    members = event["data"]
    for step in path:
        name = list(members)[step % len(members)]
        if not isinstance(members[name], dict) or not members[name]:
            members[name] = value
            break
        members = members[name]
    return event


@given(
    st.sampled_from(EXAMPLES),
    st.lists(st.integers(0, 20), max_size=4),
    TREES,
    st.dictionaries(TEXT, TREES, max_size=3),
    st.dictionaries(st.text("abcdef", min_size=1), TREES, max_size=3),
)
@settings(max_examples=300, deadline=None)
def test_spoiled_event_ends_somewhere(
    example: dict[str, Any],
    path: list[int],
    value: Any,
    more: dict[str, Any],
    extensions: dict[str, Any],
) -> None:
    """Every event is an entry that can be published, a discard or a rejection; twice the same."""
    event = {**extensions, **spoil(example, path, value)}
    event["data"] = {**more, **event["data"]}
    topic = f"raw.{event['type'].partition('.')[0]}"
    decoded = judged(json.dumps(event).encode(), topic=topic)
    if not isinstance(decoded, Event):
        assert decoded.reason is Reason.INVALID_ENVELOPE
        return
    end = normalize(decoded, LIMITS)
    assert end == normalize(decoded, LIMITS)
    if isinstance(end, Rejection):
        assert end.reason in {Reason.MISSING_ACTOR, Reason.INVALID_DATA}
    elif not isinstance(end, Discard):
        sent = canonical(end)
        assert json.loads(sent.value or b"") == json.loads(json.dumps(end))
