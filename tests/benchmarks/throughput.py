"""P1, P2, P3, P6, P7: how many events a second, for how much processor time and memory.

Rates come from Postgres's own commit times: from the first commit of entries to the last commit or
the last canonical record, whichever is later. What the first commit brought does not count, so that
starting and joining the group are outside, and the last lane's tail is inside.
"""

import io
import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import psycopg

from tests.benchmarks.servers import Sample, Sampler, Servers
from tests.benchmarks.stage import LOOK_SECONDS, PATIENCE_SECONDS, Bus, Stage

COPIED_ROWS = 25_000
COPY_ROUNDS = 8
STEADY = 0.05, 0.75
"""Between these shares of the rows every lane still has work: the busiest lane ends alone."""


class Run(NamedTuple):
    """One contender over all events of a bus."""

    contender: str
    events: int
    events_per_second: float
    steady_events_per_second: float
    cpu_us_per_event: float
    postgres_us_per_event: float
    broker_us_per_event: float
    foreign_share: float
    start_seconds: float
    resident_mb_max: float
    resident_mb_per_million: float
    entries: int
    published: int
    expected: int

    @property
    def exact(self) -> bool:
        """Whether every audited event is one row and one committed record, and nothing else is."""
        return self.entries == self.published == self.expected


class Contender(NamedTuple):
    """Who is measured: the command (ours without), how often, where it publishes.

    Ours is compiled, where that is possible, unless it is to be measured as it is written.
    """

    name: str
    command: Sequence[str] = ()
    processes: int = 1
    topics: Sequence[str] = ()
    compiled: bool = True


OURS = Contender("hub-audit")
TWO = Contender("hub-audit, two workers", processes=2)
WRITTEN = Contender("hub-audit, not compiled", compiled=False)


def run(bus: Bus, contender: Contender) -> Run:
    """Measure a contender on the events that a bus holds."""
    with Stage(bus, migrated=not contender.command).set_up() as stage:
        names = [bus.prefix + name for name in contender.topics] or bus.canonical()
        since = bus.ends(names)
        stage.connection.execute("CHECKPOINT")
        launched = time.time()
        working = [
            stage.start(contender.command, compiled=contender.compiled)
            for _ in range(contender.processes)
        ]
        sampler = Sampler(bus.servers, [process.pid for process in working])
        sampler.start()
        _await(stage, _end_of(stage, contender))
        published = bus.published(since, bus.audited)
        sampler.stop()
        for process in working:
            process.stop()
        commits = commits_of(stage)
        return _result(bus, contender, launched, (commits, published.last_at), sampler)._replace(
            published=published.records
        )


def _end_of(stage: Stage, contender: Contender) -> Callable[[], bool]:
    """Return what tells that a contender is through: our books, or the rows of any other."""
    if not contender.command:
        return lambda: stage.settled() >= stage.bus.loaded
    return lambda: _grown(stage) and _rows(stage) >= stage.bus.audited


def _await(stage: Stage, ended: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not ended():
        stage.check(deadline)
        time.sleep(LOOK_SECONDS)


def _grown(stage: Stage) -> bool:
    """Whether the table may be complete: counting a growing one would cost its writer."""
    if stage.ask("SELECT to_regclass('audit_entries')") is None:
        return False
    before = stage.ask("SELECT pg_relation_size('audit_entries')")
    time.sleep(3 * LOOK_SECONDS)
    return bool(stage.ask("SELECT pg_relation_size('audit_entries')") == before)


def _rows(stage: Stage) -> int:
    return int(stage.ask("SELECT count(*) FROM audit_entries"))


def commits_of(stage: Stage) -> list[tuple[float, int]]:
    """Return when entries were committed (seconds since 1970) and how many, in order."""
    sql = """
        SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 AS at, sum(rows)::int8
        FROM (SELECT xmin, count(*) AS rows FROM audit_entries GROUP BY xmin) AS commits
        GROUP BY at ORDER BY at
    """
    return list(stage.connection.execute(sql).fetchall())


def _result(
    bus: Bus,
    contender: Contender,
    launched: float,
    ends: tuple[list[tuple[float, int]], float],
    sampler: Sampler,
) -> Run:
    commits, last_published = ends
    rows = sum(count for _, count in commits)
    first, end = commits[0][0], max(commits[-1][0], last_published)
    counted = bus.loaded * (rows - commits[0][1]) / rows
    use = sampler.between(first, end)
    return Run(
        contender=contender.name,
        events=bus.loaded,
        events_per_second=counted / (end - first),
        steady_events_per_second=steady_rate(commits) * bus.loaded / rows,
        cpu_us_per_event=use.contender / counted * 1e6,
        postgres_us_per_event=use.postgres / counted * 1e6,
        broker_us_per_event=use.broker / counted * 1e6,
        foreign_share=use.foreign,
        start_seconds=first - launched,
        resident_mb_max=max(sample.resident_mb for sample in sampler.samples),
        resident_mb_per_million=_slope(sampler.samples, (first, end), counted),
        entries=rows,
        published=0,
        expected=bus.audited,
    )


def steady_rate(commits: list[tuple[float, int]]) -> float:
    """Return the rows a second while all lanes have work."""
    total, so_far = sum(rows for _, rows in commits), 0
    inside: list[tuple[float, int]] = []
    for at, rows in commits:
        so_far += rows
        if STEADY[0] * total <= so_far <= STEADY[1] * total:
            inside.append((at, rows))
    if len(inside) < len(STEADY):
        return 0.0
    return sum(rows for _, rows in inside[1:]) / (inside[-1][0] - inside[0][0])


def _slope(samples: list[Sample], span: tuple[float, float], counted: float) -> float:
    """Return how memory grows in the second half of a span, in MB per million events."""
    first, end = span
    late = [sample for sample in samples if (first + end) / 2 <= sample.at <= end]
    if len(late) <= len(span):
        return 0.0
    done = [(sample.at - first) / (end - first) * counted / 1e6 for sample in late]
    slope: float
    slope, _ = statistics.linear_regression(done, [sample.resident_mb for sample in late])
    return slope


def copy_rows_per_second(bus: Bus, servers: Servers) -> float:
    """Measure bare COPY of our rows, as they are, into a table without index, one connection."""
    with Stage(bus).set_up() as stage:
        stage.start()
        stage.until_settled(min(COPIED_ROWS, bus.loaded))
        for process in stage.processes:
            process.stop()
        with psycopg.connect(servers.dsn(stage.tag), autocommit=True) as connection:
            connection.execute("CREATE TABLE plain (LIKE audit_entries)")
            select = f"(SELECT * FROM audit_entries LIMIT {COPIED_ROWS})"  # noqa: S608
            buffer = io.BytesIO()
            with connection.cursor().copy(f"COPY {select} TO STDOUT (FORMAT binary)") as copy:
                for part in copy:
                    buffer.write(part)
            rows = connection.execute(f"SELECT count(*) FROM {select} AS chosen").fetchone()  # noqa: S608
            count = int((rows or (0,))[0])
            took = [_copied(connection, buffer.getvalue()) for _ in range(COPY_ROUNDS)]
            return count / statistics.median(took)


def _copied(connection: psycopg.Connection, rows: bytes) -> float:
    """Copy rows, and return how long it took."""
    began = time.monotonic()
    with connection.cursor().copy("COPY plain FROM STDIN (FORMAT binary)") as copy:
        copy.write(rows)
    return time.monotonic() - began
