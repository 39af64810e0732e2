"""The load: a deterministic mix of good, repeated, conflicting, discarded and bad records."""

import copy
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Producer

from tests.faults.attacks import Plots
from tests.faults.drafts import Draft, draft, entry_id
from tests.faults.ledger import Ledger, Line
from tests.faults.poison import LATE, Headers, document, spoil

MODES = ("structured", "binary", "bare")
NUMBER_HEADER = "ledger"
# How far back a repeat may reach: further than any batch, so that both ways of finding it occur.
WINDOW = 10_000
BATCH = 500


class Shot(NamedTuple):
    """A record to send, and its line in the ledger."""

    line: Line
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass
class Mix:
    """How much of the load is what; the rest is new good events."""

    seed: int = 1
    now_ms: int = 0
    organizations: int = 12
    lanes: int = 3
    repeats: float = 0.10
    conflicts: float = 0.02
    poison: float = 0.06
    strays: float = 0.1
    nameless: float = 0.03
    attacks: float = 0.0
    first_number: int = 0


@dataclass
class Sent:
    """A good event that may be repeated: its draft, its last encoding and its first number."""

    event: Draft
    shot: Shot
    contents: int = 1


@dataclass
class Generator:
    """Produces the shots of a mix, always the same for the same seed and moment."""

    mix: Mix
    recent: list[Sent] = field(default_factory=list)
    bad: int = 0

    def __post_init__(self) -> None:
        """Seed the randomness and name the organizations."""
        self.rng = Random(self.mix.seed)
        self.plots = Plots(self.rng, self.mix.now_ms)
        self.number = self.mix.first_number
        self.organizations = [f"org_{self.mix.seed}-{i}" for i in range(self.mix.organizations)]
        # The others stay at home, so that their order can be judged.
        self.wanderers = set(self.organizations[2::4])
        # A few organizations take most of the traffic, as in life.
        self.weights = [1 / (i + 1) for i in range(self.mix.organizations)]

    def shots(self) -> Iterator[Shot]:
        """Yield shots for ever."""
        mix = self.mix
        while True:
            self.number += 1
            dice = self.rng.random()
            if dice < mix.poison:
                yield self._bad()
            elif dice < mix.poison + mix.repeats and self.recent:
                yield self._repeat()
            elif dice < mix.poison + mix.repeats + mix.conflicts and self.recent:
                yield self._conflict()
            elif dice < mix.poison + mix.repeats + mix.conflicts + mix.attacks:
                yield self._fresh(*self._attack())
            else:
                yield self._fresh(*self._draft())

    def _draft(self) -> tuple[str, Draft]:
        org = self.rng.choices(self.organizations, self.weights)[0]
        name = f"{self.mix.seed}x{self.number}"
        return org, draft(self.rng, org, marker(org), name, self.mix.now_ms)

    def _attack(self) -> tuple[str, Draft]:
        org = self.rng.choices(self.organizations, self.weights)[0]
        return self.plots.go_on(org, marker(org), f"{self.mix.seed}x{self.number}")

    def _fresh(self, org: str, event: Draft) -> Shot:
        line: Line = {
            "n": self.number,
            "org": org,
            "topic": event.topic,
            "kind": event.attributes["type"],
            "end": "entry" if event.template is not None else "discard",
        }
        if event.rule is not None:
            return self._shoot({**line, "reason": event.rule}, event)
        assert event.template is not None
        if self.rng.random() < self.mix.nameless:
            del event.attributes["id"]
            del event.template["source"]["event_id"]
            line["identity"] = None
        else:
            line["identity"] = identity(event)
        line |= {"content": 0, "template": event.template}
        shot = self._shoot(line, event)
        if line["identity"] is not None:
            self._remember(Sent(event, shot))
        return shot

    def _repeat(self) -> Shot:
        sent = self.rng.choice(self.recent)
        line: Line = {**sent.shot.line, "n": self.number, "again": sent.shot.line["n"]}
        if self.rng.random() < 0.5:
            line["kind"] = "same bytes"
            headers = numbered(sent.shot.headers, self.number)
            return self._placed(sent.shot._replace(line=line, headers=headers))
        line["kind"] = "same event"
        return self._shoot(line, sent.event)

    def _conflict(self) -> Shot:
        sent = self.rng.choice(self.recent)
        event = copy.deepcopy(sent.event)
        assert event.template is not None
        other = f"other {sent.contents}"
        mode = None
        if self.rng.random() < 0.5:
            # In binary mode the value stays the same, byte by byte: the difference is in a header.
            event.attributes["subject"] = other
            attributes = event.template["details"].setdefault("attributes", {})
            attributes["subject"] = other
            mode = "binary"
        else:
            event.data["client"]["user_agent"] = event.template["user_agent"] = other
        line: Line = {**sent.shot.line, "n": self.number, "again": sent.shot.line["n"]}
        line |= {"kind": "conflict", "content": sent.contents, "template": event.template}
        sent.contents += 1
        return self._shoot(line, event, mode)

    def _bad(self) -> Shot:
        org, event = self._draft()
        name, poison = spoil(event, self.rng, self.bad)
        self.bad += 1
        topic = poison.topic or event.topic
        if poison.reason in LATE:
            topic = "raw.identity"
        line: Line = {
            "n": self.number,
            "org": org,
            "topic": topic,
            "kind": name,
            "end": "dead_letter",
            "reason": poison.reason,
        }
        headers = numbered(poison.headers, self.number)
        return self._placed(Shot(line, None, org.encode(), poison.value, headers))

    def _shoot(self, line: Line, event: Draft, mode: str | None = None) -> Shot:
        headers, value = encode(event, mode or self.rng.choice(MODES))
        headers = numbered(headers, line["n"])
        return self._placed(Shot(line, None, line["org"].encode(), value, headers))

    def _placed(self, shot: Shot) -> Shot:
        """Send a few organizations' records elsewhere than their key says, now and then."""
        strays = shot.line["org"] in self.wanderers
        if not strays or self.rng.random() >= self.mix.strays:
            return shot._replace(partition=None, key=shot.line["org"].encode())
        key = self.rng.choice((None, shot.line["org"].encode(), b"other"))
        return shot._replace(partition=self.rng.randrange(self.mix.lanes), key=key)

    def _remember(self, sent: Sent) -> None:
        if len(self.recent) < WINDOW:
            self.recent.append(sent)
        else:
            self.recent[self.rng.randrange(WINDOW)] = sent


def marker(org: str) -> str:
    """Return the organization's secret token, which may appear in nobody else's records."""
    hexadecimal = entry_id(org, "marker", "", 0).replace("-", "")[-14:]
    # Letters alone: a run of digits could be taken for a card number and redacted.
    return "mk" + hexadecimal.translate(str.maketrans("0123456789", "ghijklmnop")) + "z"


def identity(event: Draft) -> list[object]:
    """Return the four things that make an event that event."""
    names = event.attributes
    return [names["orgid"], names["source"], names["id"], event.occurred_ms]


def numbered(headers: Headers, number: int) -> Headers:
    """Return the headers with the ledger's number in front."""
    kept = [(name, value) for name, value in headers if name != NUMBER_HEADER]
    return [(NUMBER_HEADER, str(number).encode()), *kept]


def encode(event: Draft, mode: str) -> tuple[Headers, bytes]:
    """Return headers and value of an event in one of the three content modes."""
    if mode == "binary":
        headers = [(f"ce_{k}", str(v).encode()) for k, v in event.attributes.items()]
        headers.append(("content-type", b"application/json"))
        return headers, json.dumps(event.data, ensure_ascii=False).encode()
    value = json.dumps(document(event), ensure_ascii=False).encode()
    if mode == "structured":
        return [("content-type", b"application/cloudevents+json; charset=utf-8")], value
    return [], value


def aborted(line: Line) -> Line:
    """Return the line of a record that nobody may ever see."""
    copied = line.copy()
    copied["end"] = "aborted"
    return copied


class Sender:
    """Sends shots until the bus has acknowledged every one, and keeps the ledger."""

    def __init__(self, bootstrap: str, prefix: str, ledger: Ledger) -> None:
        """Connect an idempotent producer that keys as Java's does."""
        self.prefix = prefix
        self.ledger = ledger
        self.ends: dict[tuple[str, int], int] = {}
        self.bootstrap = bootstrap
        self._producer = Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "acks": "all",
                "partitioner": "murmur2_random",
                "linger.ms": 5,
                "log_level": 0,
                "message.timeout.ms": 300_000,
                "queue.buffering.max.messages": 200_000,
            }
        )

    def send(self, shots: Sequence[Shot]) -> None:
        """Send a batch: lines to disk, records to the bus, acknowledgements to disk."""
        self.ledger.expect(shot.line for shot in shots)
        acked: list[tuple[int, int, int]] = []
        for shot in shots:
            self._produce(self._producer, shot, acked)
        while self._producer.flush(5):
            continue
        self._note(shots, acked)

    def send_transaction(self, shots: Sequence[Shot], *, commit: bool) -> None:
        """Send shots in a transaction, aborted or not: either leaves holes in the offsets."""
        self.ledger.expect(shot.line if commit else aborted(shot.line) for shot in shots)
        producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "transactional.id": f"{self.prefix}load",
                "log_level": 0,
                "partitioner": "murmur2_random",
            }
        )
        acked: list[tuple[int, int, int]] = []
        producer.init_transactions(30)
        producer.begin_transaction()
        for shot in shots:
            self._produce(producer, shot, acked)
        producer.flush(30)
        if commit:
            producer.commit_transaction(30)
            self._note(shots, acked)
        else:
            producer.abort_transaction(30)

    def _produce(self, producer: Producer, shot: Shot, acked: list[tuple[int, int, int]]) -> None:
        def landed(error: KafkaError | None, message: Any) -> None:
            if error is None:
                acked.append((shot.line["n"], message.partition(), message.offset()))

        where: dict[str, Any] = {} if shot.partition is None else {"partition": shot.partition}
        producer.produce(
            self.prefix + shot.line["topic"],
            key=shot.key,
            value=shot.value,
            headers=list(shot.headers),
            on_delivery=landed,
            **where,
        )
        producer.poll(0)

    def _note(self, shots: Sequence[Shot], acked: list[tuple[int, int, int]]) -> None:
        self.ledger.acknowledged(acked)
        topics = {shot.line["n"]: shot.line["topic"] for shot in shots}
        for number, partition, offset in acked:
            where = (self.prefix + topics[number], partition)
            self.ends[where] = max(self.ends.get(where, 0), offset + 1)
        if len(acked) != len(shots):
            raise KafkaException(KafkaError(KafkaError._MSG_TIMED_OUT))


def feed(sender: Sender, shots: Iterator[Shot], count: int, *, per_second: float = 0) -> None:
    """Send so many shots, in batches, no faster than asked (0: as fast as the bus takes them)."""
    began, sent = time.monotonic(), 0
    while sent < count:
        batch = list(islice(shots, min(BATCH, count - sent)))
        sender.send(batch)
        sent += len(batch)
        if per_second:
            time.sleep(max(0.0, began + sent / per_second - time.monotonic()))


def fill(bootstrap: str, prefix: str, path: Path, mix: Mix, count: int) -> Sender:
    """Send a whole load with two transactions in it, one aborted; return the sender."""
    shots = Generator(mix).shots()
    with Ledger(path) as ledger:
        sender = Sender(bootstrap, prefix, ledger)
        feed(sender, shots, count // 2)
        sender.send_transaction(list(islice(shots, 20)), commit=True)
        sender.send_transaction(list(islice(shots, 10)), commit=False)
        feed(sender, shots, count - count // 2)
    return sender
