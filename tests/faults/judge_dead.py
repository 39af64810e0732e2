"""I5: each dead letter stands in the table and on the topic, with the original bytes."""

import base64
import json
from collections import defaultdict
from typing import Any

from tests.faults.drafts import rfc3339_ms
from tests.faults.judge_ends import spot_of_dead
from tests.faults.judge_topics import MARK
from tests.faults.rows import rfc3339
from tests.faults.verdict import Verdict
from tests.faults.world import Headers, Seen, Spot, World


def dead_letters(world: World, verdict: Verdict) -> None:
    """Judge table and topic against the raw records and each other."""
    raw = {record.spot: record for record in world.raw}
    published: dict[Spot, list[Seen]] = defaultdict(list)
    for letter in world.dead:
        published[origin(letter)].append(letter)
    for row in world.dead_rows:
        spot = spot_of_dead(row)
        letters = published.pop(spot, [])
        if not letters:
            verdict.wrong("missing_dead", f"{spot} is not on the topic")
        if len(letters) > 1:
            verdict.wrong("wrong_dead", f"{spot} is on the topic {len(letters)} times")
        if spot in raw:  # else counted as invented by the judge of ends
            wrong = _row_faults(row, raw[spot])
            wrong += [fault for x in letters for fault in letter_faults(x, row, raw[spot])]
            verdict.wrong("wrong_dead", f"{spot} {row['reason']}: {wrong}", len(wrong))
    for spot, letters in published.items():
        verdict.wrong("invented", f"letter of {spot} at {letters[0].spot}", len(letters))


def origin(letter: Seen) -> Spot:
    """Return where the record of a letter stands, as the letter says."""
    partition, offset = letter.header("dl_partition"), letter.header("dl_offset")
    return letter.header("dl_topic") or "", int(partition or -1), int(offset or -1)


def _row_faults(row: dict[str, Any], record: Seen) -> list[str]:
    wrong = []
    if row["raw"] != record.value:
        wrong.append("raw in the table")
    if row["key"] != record.key:
        wrong.append("key in the table")
    if decoded(row["headers"]) != record.headers:
        wrong.append(f"headers in the table {row['headers']}")
    if rfc3339(row["recorded_at"]) != rfc3339_of(record):
        wrong.append("recorded_at")
    return wrong


def rfc3339_of(record: Seen) -> str:
    """Return a record's append time as text."""
    return rfc3339_ms(record.timestamp)


def decoded(headers: object) -> Headers:
    """Return headers as the table keeps them."""
    pairs = json.loads(headers) if isinstance(headers, str) else headers
    assert isinstance(pairs, list)
    return [(name, None if v is None else base64.b64decode(v)) for name, v in pairs]


def letter_faults(letter: Seen, row: dict[str, Any], record: Seen) -> list[str]:
    """Return what is wrong with a letter on the topic, given its row and its raw record."""
    wrong = []
    if letter.value != record.value:
        wrong.append("value on the topic")
    if letter.key != record.key:
        wrong.append("key on the topic")
    if letter.partition != record.partition:
        wrong.append(f"partition {letter.partition}")
    if letter.headers[: len(record.headers)] != record.headers:
        wrong.append("original headers")
    said = {name: (value or b"").decode("ascii") for name, value in own_headers(letter, record)}
    due = {
        "dl_stage": row["stage"],
        "dl_reason": row["reason"],
        "dl_topic": record.topic,
        "dl_partition": str(record.partition),
        "dl_offset": str(record.offset),
        "dl_timestamp": str(record.timestamp),
    }
    wrong += [f"{name} {said.get(name)}" for name in due if said.get(name) != due[name]]
    unknown = said.keys() - due.keys() - {"dl_detail", MARK}
    wrong += [f"header {name}" for name in unknown]
    return wrong


def own_headers(letter: Seen, record: Seen) -> Headers:
    """Return the headers that were added to the original ones."""
    return letter.headers[len(record.headers) :]
