"""Events of other products, which nobody planned for, on their way through decode."""

import json
from pathlib import Path

import pytest

from processor.ingest.decode import decode
from processor.normalize import Limits, normalize
from schemas.raw.envelope import Event
from schemas.record import RawRecord
from schemas.rejection import Reason, Rejection

ROOT = Path(__file__).parents[1] / "realdata"
FILES = sorted([*ROOT.rglob("*.ndjson"), *ROOT.rglob("*.json")])
STRUCTURED = (("content-type", b"application/cloudevents+json"),)
ATTRIBUTES = {
    "specversion": "1.0",
    "id": "evt-1",
    "source": "/hub/identity",
    "type": "identity.login.succeeded.v1",
    "time": "2026-11-23T10:00:00Z",
    "orgid": "acme",
}
BINARY = tuple((f"ce_{name}", text.encode()) for name, text in ATTRIBUTES.items())

LIMITS = Limits(90 * 86_400_000, 0, {"raw.identity": "identity", "raw.billing": "billing"})


def values(path: Path) -> list[bytes]:
    """Return the events of a file: whole lines, what they wrap, or the file itself."""
    if path.suffix == ".json":
        return [path.read_bytes()]
    lines = path.read_bytes().splitlines()
    return lines + [json.dumps(json.loads(line)["event"]).encode() for line in lines]


def answer(value: bytes, headers: tuple[tuple[str, bytes], ...] = ()) -> Event | Rejection:
    """Decode a value as it would stand on the identity topic."""
    record = RawRecord("raw.identity", 0, 1, 1_795_428_000_000, None, value, headers)
    return decode(record, "raw.redrive")


def test_there_are_events() -> None:
    """The files are there: some hundred events of two dozen products."""
    assert len(FILES) == 32
    assert sum(len(values(path)) for path in FILES) > 900


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_foreign_events_are_no_hub_events(path: Path) -> None:
    """As a whole event each is rejected for its envelope, which it does not have."""
    for value in values(path):
        for headers in ((), STRUCTURED):
            rejection = answer(value, headers)
            assert isinstance(rejection, Rejection)
            assert rejection.reason is Reason.INVALID_ENVELOPE


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_foreign_data_arrives_unchanged(path: Path) -> None:
    """As the data of a right event each is read as the standard library reads it."""
    for value in values(path):
        whole = json.dumps(ATTRIBUTES).encode()[:-1] + b', "data": ' + value + b"}"
        for event in (answer(value, BINARY), answer(whole), answer(whole, STRUCTURED)):
            assert isinstance(event, Event)
            assert event.data == json.loads(value)
            assert event.sanitized == ()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_foreign_data_is_no_data_of_ours(path: Path) -> None:
    """Under a right envelope it is rejected: it names no actor as ours do, or breaks the type."""
    for value in values(path):
        for name in ("identity.login.succeeded.v1", "billing.invoice.finalized.v1"):
            topic = "raw." + name.partition(".")[0]
            headers = [*BINARY, ("ce_type", name.encode())]
            event = decode(RawRecord(topic, 0, 1, 1_795_428_000_000, None, value, headers), "")
            assert isinstance(event, Event)
            rejection = normalize(event, LIMITS)
            assert isinstance(rejection, Rejection)
            assert rejection.reason in {Reason.MISSING_ACTOR, Reason.INVALID_DATA}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_damaged_events_end_somewhere(path: Path) -> None:
    """Cut off or with a byte flipped they are rejected, or read with that byte replaced."""
    for number, value in enumerate(values(path)[:20]):
        assert isinstance(answer(value[: len(value) // 2], BINARY), Rejection)
        at = (number * 7_919) % len(value)
        flipped = answer(value[:at] + b"\xff" + value[at + 1 :], BINARY)
        if isinstance(flipped, Rejection):
            assert flipped.reason is Reason.INVALID_JSON
        else:
            assert flipped.sanitized == ("$",)
            assert "\ufffd" in json.dumps(flipped.data, ensure_ascii=False)
