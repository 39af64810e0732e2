"""A group that answers from a part of its log while the database has lost commits."""

from collections.abc import Callable
from typing import Any

import pytest

from processor.ingest.consumer import Committed
from tests.simulation.clients import FakeConsumer
from tests.simulation.judge import judge
from tests.simulation.network import Chances
from tests.simulation.plan import Blow, Plan
from tests.simulation.plants import replaced
from tests.simulation.scene import Scene

LOST_AT = 3.0


def forgetful(scene: Scene, seconds: float) -> Callable[[FakeConsumer, int], Any]:
    """Return how a group answers that, asked after the loss, knows nothing for so long."""
    asked, since = FakeConsumer.committed, float("inf")

    async def committed(self: FakeConsumer, lane: int) -> dict[str, Committed | None]:
        """Answer, as if there were nothing at first."""
        nonlocal since
        answer = await asked(self, lane)
        now = scene.loop.time()
        if now < LOST_AT:
            return answer
        since = min(since, now)
        return dict.fromkeys(answer) if now - since < seconds else answer

    return committed


@pytest.mark.parametrize(
    ("lost_seconds", "forgets_seconds"),
    [pytest.param(1.0, 4.0, id="the last batches"), pytest.param(99.0, 0.9, id="everything")],
)
def test_loss_is_noticed_by_what_the_group_says_later(
    lost_seconds: float, forgets_seconds: float, caplog: pytest.LogCaptureFixture
) -> None:
    """No number is published over the one that says what is lost: the lane stops, as it must."""
    blow = Blow(LOST_AT, "store_restored", lost_seconds, 0)
    scene = Scene(Plan(4, 1, 1, 60, 5.0, Chances(), Chances(), [blow]))
    with replaced(FakeConsumer, "committed", forgetful(scene, forgets_seconds)):
        scene.run()
    (stopped,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert "the database lost commits" in vars(stopped)["error"]
    assert not scene.bugs
    assert not judge(scene)
