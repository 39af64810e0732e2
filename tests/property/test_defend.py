"""The law of Defend: the same signals give the same findings, in whatever way they are read."""

from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from processor.defend.rules import ACTIONS, Found, Signal, hours, subject
from processor.defend.rules.signals import ALERT
from tests.unit.defend_signals import MINUTE, NOON, SECOND, Reading, found_in

# Around the turn of an hour, close enough together that bursts are common.
TIMES = st.integers(-60, 60).map(lambda n: NOON + n * 20 * SECOND) | st.integers(-180, 180).map(
    lambda n: NOON + n * MINUTE
)
MARKS = ("success", "new_device", "mfa", "given", "malicious")
COMMON = ("auth.login_failed", "auth.login_failed", "auth.login_success", "role.assigned")


@st.composite
def lives(draw: st.DrawFn) -> list[Signal]:
    """Draw what happens in an organization: few people, few addresses, much at once."""
    count = draw(st.integers(0, 80))
    chance = Random(draw(st.integers(0, 2**32)))
    actions = (*COMMON, *ACTIONS, ALERT)
    often = chance.choice(actions)
    people = [f"u{n}@x" for n in range(chance.choice((1, 2, 12)))]
    times = draw(st.lists(TIMES, min_size=count, max_size=count))
    signals = [
        Signal(
            at_ms=at_ms,
            id=f"{number:03d}",
            seq=number + 1,
            action=chance.choice((often, chance.choice(actions))),
            actor=chance.choice(people[:2]),
            actor_type=chance.choice(("user", "user", "service")),
            account=chance.choice(people),
            address=chance.choice(("192.0.2.1", "203.0.113.9", "")),
            thing=chance.choice(("atlas", "beacon")),
            marks=frozenset(chance.sample(MARKS, chance.randint(0, len(MARKS)))),
        )
        for number, at_ms in enumerate(times)
    ]
    return [*signals, *sent_again(signals, chance)]


def sent_again(signals: list[Signal], chance: Random) -> Iterator[Signal]:
    """Yield some of the alerts again, with another verdict and perhaps another time."""
    for each in signals:
        if each.action == ALERT and chance.random() < 0.5:
            at_ms = each.at_ms + chance.choice((0, 0, MINUTE, 20 * MINUTE))
            marks = each.marks ^ {"malicious"}
            yield each._replace(at_ms=at_ms, marks=marks)


def burst(count: int) -> list[Signal]:
    """Return an attack of failed logins over the turn of an hour."""
    return [
        Signal(NOON + (n - 5) * MINUTE, f"{n:03d}", n + 1, "auth.login_failed", "u0@x", "user",
               "u0@x", "192.0.2.1", "", frozenset())
        for n in range(count)
    ]  # fmt: skip


def read_anyhow(signals: list[Signal], chance: Random) -> dict[str, Found]:
    """Store in one order and read in another, in batches, with restarts that read again.

    What is read is stored before, as on the bus; what is stored may be read much later.
    """
    stored, read = chance.sample(signals, len(signals)), chance.sample(signals, len(signals))
    reading, there, at = Reading(signals_max=chance.choice((5, 1_000))), 0, 0
    while at < len(read):
        batch = read[at : at + chance.choice((1, 2, 7, 50))]
        needed = max(stored.index(each) for each in batch) + 1
        if needed > there:
            reading.store(stored[there:needed])
            there = needed
        reading.read(batch)
        at += len(batch)
        dice = chance.random()
        if dice < 0.2:
            reading.restart()
            at = max(0, at - chance.randint(0, 20))
        elif dice < 0.3:
            at = max(0, at - chance.randint(0, 10))
    return reading.kept


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(lives(), st.integers(0, 2**32))
@example(burst(11), 1)
@example(burst(60), 2)
def test_order_batches_and_restarts_do_not_matter(signals: list[Signal], seed: int) -> None:
    """Any order, any batches, any restarts and repetitions end in the same findings."""
    assert read_anyhow(signals, Random(seed)) == found_in(signals)


@settings(max_examples=80, deadline=None)
@given(lives(), st.data())
def test_more_signals_never_find_less(signals: list[Signal], data: st.DataObject) -> None:
    """What a part of the signals shows, all of them show: with at least its evidence."""
    some = data.draw(st.lists(st.sampled_from(signals), unique=True)) if signals else []
    everything = found_in(signals)
    for finding_id, part in found_in(some).items():
        whole = everything[finding_id]
        assert {*part.seqs} <= {*whole.seqs}
        assert {*part.alerts} <= {*whole.alerts}
        order = ("low", "medium", "high", "critical")
        assert order.index(part.severity) <= order.index(whole.severity)


@settings(max_examples=50, deadline=None)
@given(lives(), st.integers(0, 2**32))
def test_two_workers_find_what_one_finds(signals: list[Signal], seed: int) -> None:
    """Two workers with one store, each with a share of the topics at first and all of it later."""
    chance = Random(seed)
    half = chance.sample(signals, len(signals) // 2)
    one, two = Reading(), Reading()
    two.stored, two.kept = one.stored, one.kept
    one.store(signals)
    for each in half:
        chance.choice((one, two)).read([each])
    one.restart()
    for each in (each for each in signals if each not in half):
        one.read([each])
    two.read(half)
    assert one.kept == found_in(signals)


def floods(chance: Random) -> list[Signal]:
    """Return a spray over many accounts within two slices, which some of them let in."""
    return [
        Signal(
            at_ms=NOON + chance.randrange(20 * 60) * SECOND,
            id=f"{number:03d}",
            seq=number + 1,
            action=chance.choice(("auth.login_failed",) * 5 + ("auth.login_success",)),
            actor="", actor_type="user", account=f"u{chance.randrange(40)}@x",
            address=chance.choice(("192.0.2.1",) * 3 + ("203.0.113.9",)),
            thing="", marks=frozenset(chance.sample(("new_device", "mfa"), chance.randrange(3))),
        )
        for number in range(chance.randrange(150))
    ]  # fmt: skip


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32))
def test_what_is_found_in_a_flood_at_last_is_the_same_in_any_order(seed: int) -> None:
    """Whatever was judged in between: of what is left out, the same is known in the end."""
    chance = Random(seed)
    signals = floods(chance)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subject, "SIGNALS_KEPT_MAX", 10)
        patch.setattr(subject, "TRIED_MAX", chance.choice((0, 1, 5, 1_000)))
        ends = [at_last(chance.sample(signals, len(signals)), chance) for _ in range(2)]
    assert ends[0] == ends[1]


def at_last(signals: list[Signal], chance: Random) -> list[Found]:
    """Return what is found when all is read; what is found before is told to nobody."""
    held = hours.Hours(1_000_000)
    keys: list[hours.Key] = []
    for each in signals:
        for missing in [*held.missing("acme", each)]:
            held.begin(*missing)
        keys += held.add("acme", each)
        if chance.random() < 0.2:
            held.judged(keys)
    return sorted(held.judged(keys))


@settings(max_examples=80, deadline=None)
@given(lives(), st.integers(0, 2**32))
def test_what_is_kept_of_a_flood_is_the_same_in_any_order(signals: list[Signal], seed: int) -> None:
    """Part by part, in whatever parts, the same share is left as of everything at once."""
    chance = Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subject, "SIGNALS_KEPT_MAX", chance.choice((1, 3, 10)))
        kept: list[Signal] = []
        for each in chance.sample(signals, len(signals)):
            kept.append(each)
            if chance.random() < 0.3:
                kept = [*subject.fair_share(kept)]
        assert sorted(subject.fair_share(kept)) == sorted(subject.fair_share(signals))
