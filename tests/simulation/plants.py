"""Bugs of the protocol to plant into the product's own code: seeds must find each of them.

A plant is a way to make the lane's producer, and a patch of a module for the length of one run.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from processor import pipeline
from processor.emit.producer import LaneProducer
from processor.errors import DatabaseOutage
from processor.lane import Lane
from processor.left_behind import LeftBehind
from processor.settings import Settings
from processor.store import entries, lanes, resolve, writer
from tests.simulation import connections, statements
from tests.simulation.clients import Bus
from tests.simulation.database import Session
from tests.simulation.scene import Making, make_producer

Patch = Callable[[], AbstractContextManager[Any]]


@contextmanager
def replaced(owner: Any, name: str, other: Any) -> Iterator[None]:
    """Have something else stand under a name for the length of a run."""
    original = getattr(owner, name)
    setattr(owner, name, other)
    try:
        yield
    finally:
        setattr(owner, name, original)


def new_at_once() -> AbstractContextManager[Any]:
    """Take a lane over for the first time without asking twice: that would be most of a run.

    ``test_forgetful_group`` is about those who ask.
    """

    async def new(_self: Lane, _state: Any) -> bool:
        """Ask nobody."""
        return True

    return replaced(Lane, "_is_new", new)


def _without_fence() -> AbstractContextManager[Any]:
    """Store whatever the epoch: a worker that lost its lane writes on."""

    def unfenced(session: Session, lane: int, epoch: int) -> Any:
        session.lock("lanes", lane)
        return session.get("lanes", lane)

    return replaced(statements, "_fenced", unfenced)


def _offsets_first(of: Settings, lane: int, bus: Bus) -> LaneProducer:
    """Commit the offsets in a transaction of their own, before what was read is published."""

    class OffsetsFirst(LaneProducer):
        """Commits, then publishes."""

        async def publish(self, outgoing: Any, offsets: Any, batch: int) -> None:
            """Publish in two transactions."""
            await super().publish((), offsets, batch)
            await super().publish(outgoing, offsets, batch)

    return OffsetsFirst(of, lane, bus.producer, bus.reader)


def _without_settle() -> AbstractContextManager[Any]:
    """Never look whether the last batch was emitted."""

    async def nothing(self: Lane, state: Any) -> int:
        return int(state.batch)

    return replaced(Lane, "_settle", nothing)


def _settle_always() -> AbstractContextManager[Any]:
    """Emit the last batch at every take-over, as at-least-once does."""

    async def always(self: Lane, state: Any) -> int:
        left = await LeftBehind.read(self._db, state.unemitted)
        await self._publish(state, left.outgoing())
        return int(state.batch)

    return replaced(Lane, "_settle", always)


def _believe_numbers() -> AbstractContextManager[Any]:
    """Believe the group's offsets, whatever they say: the topics are not looked at."""

    async def credulous(_self: Lane, _left: Any) -> bool:
        return False

    return replaced(Lane, "_is_out", credulous)


def _trust_group() -> AbstractContextManager[Any]:
    """Go on from the group's committed offsets instead of what is stored."""
    find = Lane._find_positions

    async def trusting(self: Lane, state: Any) -> dict[str, int]:
        positions = await find(self, state)
        committed = await self._consumer.committed(self.lane)
        return {t: at.offset if (at := committed[t]) else p for t, p in positions.items()}

    return replaced(Lane, "_find_positions", trusting)


def _keep_producer(of: Settings, lane: int, bus: Bus) -> LaneProducer:
    """Go on with the producer after a commit that had to be sent twice."""

    class Undoubting(LaneProducer):
        """Never doubts."""

        async def _commit(self, producer: Any) -> None:
            await super()._commit(producer)
            self._doubtful = False

    return Undoubting(of, lane, bus.producer, bus.reader)


def _trust_slow_offsets(of: Settings, lane: int, bus: Bus) -> LaneProducer:
    """Go on with the producer after offsets that had to be sent twice."""

    class Trusting(LaneProducer):
        """Doubts slow commits alone."""

        async def _send_offsets(self, producer: Any, committed: Any) -> None:
            await producer.send_offsets_to_transaction(committed, self._group)

    return Trusting(of, lane, bus.producer, bus.reader)


def _one_id_per_process(of: Settings, lane: int, bus: Bus) -> LaneProducer:
    """Give each process a transactional id of its own, so that nobody fences a zombie."""
    producer = LaneProducer(of, lane, bus.producer, bus.reader)
    producer._id = f"{producer._id}.{bus.process.name}"
    return producer


def _unlooked_futures(of: Settings, lane: int, bus: Bus) -> LaneProducer:
    """Do not look at what became of the batches."""

    class Unlooking(LaneProducer):
        """Commits whatever became of the batches."""

        async def _await_all(self, producer: Any, batches: Any) -> None:
            for topic, partition, builder in batches:
                future = await producer.send_batch(builder, topic, partition=partition)
                future.add_done_callback(lambda done: done.cancelled() or done.exception())

    return Unlooking(of, lane, bus.producer, bus.reader)


def _resolve_without_heads() -> AbstractContextManager[Any]:
    """Look up what exists without the organizations' locks."""
    raise_heads = entries._raise_heads

    async def unlocked(connection: Any, added: Any) -> dict[str, int]:
        if any(added.values()):
            return await raise_heads(connection, added)
        session = connection._session
        return {org: session.get("heads", org) or 0 for org in added}

    return replaced(entries, "_raise_heads", unlocked)


def _repeats_as_new() -> AbstractContextManager[Any]:
    """Take an upstream's repetition for a conflict."""
    return replaced(resolve, "same_fact", lambda _one, _other: False)


def _emit_before_store() -> AbstractContextManager[Any]:
    """Forget what a batch has to emit: its row lists nothing."""
    empty = lanes.Unemitted({}, [])
    return replaced(writer, "dump", lambda _unemitted: lanes.dump(empty))


def _fence_late(of: Settings, lane: int, bus: Bus) -> LaneProducer:
    """Fence nobody before the offsets are read: only with the first batch."""

    class Late(LaneProducer):
        """Starts when there is something to publish."""

        publishing = False

        async def start(self) -> None:
            """Start in a transaction alone."""
            if self.publishing:
                await super().start()

        async def publish(self, outgoing: Any, offsets: Any, batch: int) -> None:
            """Publish, started by now."""
            self.publishing = True
            await self.renew()
            await super().publish(outgoing, offsets, batch)
            self.publishing = False

    return Late(of, lane, bus.producer, bus.reader)


def _renew_after_store(of: Settings, lane: int, bus: Bus) -> LaneProducer:
    """Replace a doubtful producer when there is something to publish: by then it is stored."""

    class Renewing(LaneProducer):
        """Fences whoever may have the lane by now."""

        publishing = False

        async def renew(self) -> None:
            """Put it off."""
            if self.publishing:
                await super().renew()

        async def publish(self, outgoing: Any, offsets: Any, batch: int) -> None:
            """Publish with a new producer."""
            self.publishing = True
            await self.renew()
            await super().publish(outgoing, offsets, batch)
            self.publishing = False

    return Renewing(of, lane, bus.producer, bus.reader)


def _retry_unknown_commits() -> AbstractContextManager[Any]:
    """Store a batch again whose commit was not answered."""
    write = writer.write

    async def insisting(db: Any, batch: Any) -> Any:
        try:
            return await write(db, batch)
        except DatabaseOutage:
            return await write(db, batch._replace(after=None))

    return replaced(pipeline, "write", insisting)


def _two_transactions() -> AbstractContextManager[Any]:
    """Commit after each statement, so that a crash leaves half a batch."""
    execute = statements.execute

    def committing(session: Session, query: str, args: Any) -> Any:
        answer = execute(session, query, args)
        if session.in_transaction and query == writer._SQL["next_batch"]:
            session.commit()
            session.begin()
        return answer

    return replaced(connections, "execute", committing)


def _count_of_holes() -> AbstractContextManager[Any]:
    """Advance by the number of records instead of by their offsets."""
    advances = pipeline._advances

    def counting(records: Any, positions: Any, discards: Any) -> Any:
        found = advances(records, positions, discards)
        return {t: a._replace(offset_holes=0) for t, a in found.items()}

    return replaced(pipeline, "_advances", counting)


PLANTS: dict[str, tuple[Making, Patch]] = {
    "": (make_producer, nullcontext),
    "without_fence": (make_producer, _without_fence),
    "offsets_first": (_offsets_first, nullcontext),
    "without_settle": (make_producer, _without_settle),
    "settle_always": (make_producer, _settle_always),
    "believe_numbers": (make_producer, _believe_numbers),
    "trust_group": (make_producer, _trust_group),
    "keep_producer": (_keep_producer, nullcontext),
    "trust_slow_offsets": (_trust_slow_offsets, _believe_numbers),
    "one_id_per_process": (_one_id_per_process, nullcontext),
    "unlooked_futures": (_unlooked_futures, nullcontext),
    "resolve_without_heads": (make_producer, _resolve_without_heads),
    "repeats_as_new": (make_producer, _repeats_as_new),
    "nothing_listed": (make_producer, _emit_before_store),
    "fence_late": (_fence_late, nullcontext),
    "renew_after_store": (_renew_after_store, nullcontext),
    "retry_unknown_commits": (make_producer, _retry_unknown_commits),
    "two_transactions": (make_producer, _two_transactions),
    "holes_not_counted": (make_producer, _count_of_holes),
}
