"""Work that is spread over processes: its order, and what becomes of one that fails."""

import json
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka import KafkaError, KafkaException

from tests.faults import reduced, soak_shares
from tests.faults.reduced import Acked
from tests.faults.spread import CHUNK, in_turn


def written(path: Path, count: int) -> Path:
    """Write a ledger of so many acknowledgements."""
    lines = [json.dumps({"acked": [[number, 0, number]]}) for number in range(count)]
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize("count", [0, 1, CHUNK, 3 * CHUNK + 1, 5 * CHUNK])
def test_shares_of_a_file_come_in_its_order(tmp_path: Path, count: int) -> None:
    """However many lines there are, two processes yield each of them once, in order."""
    read = partial(soak_shares.lines, written(tmp_path / "ledger", count), reduced.line, 2)
    found = list(in_turn([partial(read, share) for share in range(2)]))
    assert found == [Acked([[number, 0, number]]) for number in range(count)]


def test_what_a_process_raises_is_said_here(tmp_path: Path) -> None:
    """A line that cannot be read ends it all; so does what no process could hand over."""
    path = tmp_path / "ledger"
    path.write_text('{"acked": []}\n{"ack')
    read = partial(soak_shares.lines, path, reduced.line, 1, 0)
    with pytest.raises(RuntimeError, match="JSONDecodeError: Unterminated string"):
        list(in_turn([read]))
    with pytest.raises(RuntimeError, match=r"KafkaException: .*_TIMED_OUT"):
        list(in_turn([_away]))


def _away() -> Iterator[None]:
    raise KafkaException(KafkaError(KafkaError._TIMED_OUT))


def test_a_process_that_dies_is_no_end() -> None:
    """One that ends without saying so has not yielded everything."""
    with pytest.raises(RuntimeError, match="has died"):
        list(in_turn([partial(os._exit, 0)]))
