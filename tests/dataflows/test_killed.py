"""The flow on a real spool, killed at chosen moments of a made-up time: it decides as one that never was.

Exact to the last bit, where `python -m tests.soak kill` is real and therefore a matter of seconds.
"""

import random
import tempfile
from dataclasses import dataclass, field, replace
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import pytest
from bytewax.errors import BytewaxRuntimeError
from bytewax.recovery import RecoveryConfig, init_db_dir
from bytewax.testing import cluster_main
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from dataflows.flow import build
from engine.columns.measure import Measurer
from engine.sinks._firing import identity
from engine.sinks.board import Board
from engine.sinks.publish import Publish
from engine.sinks.shown import Change
from engine.spool.arrivals import Arrivals
from engine.spool.clock import SECOND_NS
from engine.spool.spool import Spool
from engine.spool.spool_source import Position, SpoolPartition, SpoolSource
from slo.burn import resolve_tiers
from slo.columns import Field
from slo.decision import Decision
from slo.model import CalendarWindow, Objective, RollingWindow, Slices, SpanSli
from slo.plan import Plan
from slo.traceql import parse_filter
from tests.engine.spool.clocks import START, World

TARGET = Fraction(99, 100)
MONTH = Objective(
    service="s",
    name="month",
    target=TARGET,
    window=RollingWindow(30 * 86400),
    sli=SpanSli(total=parse_filter("{}"), bad=parse_filter("{ status = error }")),
    tiers=resolve_tiers(TARGET, 30 * 86400)[0],
)
OBJECTIVES = (
    MONTH,
    replace(MONTH, name="tenants", by=(Field("span", "tenant"),)),
    replace(MONTH, name="at-once", evidence=None, window=RollingWindow(300)),
    replace(MONTH, name="day", window=CalendarWindow("day", "Asia/Kathmandu")),
    replace(MONTH, name="sliced", slices=Slices(10, Fraction(9, 10))),
)
# Shrinking would take longer than it tells.
PHASES = (Phase.explicit, Phase.generate)
PLAN = Plan(OBJECTIVES, shards=3)
LATE = (0, 0, 0, 0, 7, 400, 8000, 90_000, 31 * 86400)


# Nanoseconds that pass, and the payloads that then come.
Step = tuple[int, tuple[bytes, ...]]


class Told(NamedTuple):
    """What Alertmanager would be told of an alert: `fired` or `ended`."""

    what: str
    starts_at: float
    ends_at: float | None


class Killed(Exception):  # noqa: N818 - what happens, not a fault
    """The process is gone."""


def _script(seed: int, steps: int) -> list[Step]:
    """Traffic with burns, pauses and late spans; a second or more passes in each step."""
    rng = random.Random(seed)
    script, now_ns = [], World().wall()
    burning = False
    for _ in range(steps):
        passed = (1 if rng.random() < 0.9 else rng.choice((5, 40, 200, 310))) * SECOND_NS
        now_ns += passed
        if rng.random() < 0.08:
            burning = not burning
        busy = rng.random() < 0.7
        payloads = [_payload(rng, now_ns, burning) for _ in range(rng.randrange(1, 3))]
        script.append((passed, tuple(payloads) if busy else ()))
    return [*script, (SECOND_NS, ()), (SECOND_NS, ())]


def _payload(rng: random.Random, now_ns: int, burning: bool) -> bytes:  # noqa: FBT001
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for _ in range(rng.randrange(1, 12)):
        tenant = rng.choice(("a", "b"))
        span = spans.add(
            trace_id=rng.randbytes(16), end_time_unix_nano=now_ns - rng.choice(LATE) * SECOND_NS
        )
        span.attributes.add(key="tenant").value.string_value = tenant
        failed = rng.random() < (0.9 if burning and tenant == "a" else 0.02)
        span.status.code = 2 if failed else 0
    return request.SerializeToString()


@dataclass
class Story:
    """A script as it is played, over all lives of the process.

    Attributes:
        kills: numbers of the readings of the source at which the process is killed.
        told: what began and what ended, as Alertmanager would be told it.
        final: each shard's newest live decision.
    """

    script: list[Step]
    kills: set[int]
    directory: Path
    world: World = field(default_factory=World)
    step: int = 0
    reading: int = 0
    told: list[tuple[object, Told]] = field(default_factory=list)
    final: dict[str, Decision] = field(default_factory=dict)
    active: tuple[object, ...] = ()

    def play(self, workers: int = 1) -> "Story":
        recovery = self.directory / "recovery"
        recovery.mkdir()
        init_db_dir(recovery, 2)
        while not self._live(recovery, workers):
            pass
        return self

    def _live(self, recovery: Path, workers: int) -> bool:
        """One life of the process; whether it came to the end."""
        spool = Spool(self.directory / "spool.db", clock=self.world.clock())
        board = Board(
            OBJECTIVES,
            self.directory / "alerts.json",
            clock=lambda: self.world.passed / 1e9,
            wall=lambda: self.world.wall() / 1e9,
        )
        board.subscribe(self._note)

        def take(decision: Decision) -> None:
            if decision.live:
                self.final[decision.shard] = decision
            board.publish(decision)

        flow = build(
            replace(PLAN, told=lambda: tuple(s.alert for s in board.active_alerts())),
            _Source(spool, self),
            Publish(lambda: take),
            lambda: Measurer(PLAN.objectives, PLAN.shards, PLAN.skew),
            spread=True,
        )
        try:
            cluster_main(
                flow,
                [],
                0,
                epoch_interval=timedelta(milliseconds=40),
                recovery_config=RecoveryConfig(recovery),
                worker_count_per_proc=workers,
            )
        except BytewaxRuntimeError as error:
            if not isinstance(error.__cause__, Killed):
                raise
            return False
        finally:
            spool.close()
        self.active = tuple(sorted(identity(s.alert) for s in board.active_alerts()))
        return True

    def _note(self, change: Change) -> None:
        for what, shown in (("fired", change.fired), ("ended", change.ended)):
            alerts = [each.alert for each in shown]
            self.told += [(identity(a), Told(what, a.starts_at, a.ends_at)) for a in alerts]


class _Source(SpoolSource):
    def __init__(self, spool: Spool, story: Story) -> None:
        super().__init__(spool, lambda: False)
        self.story = story

    def build_part(
        self, _step_id: str, _for_part: str, resume_state: Position | None
    ) -> "_Partition":
        return _Partition(self.story, self.spool, resume_state)


class _Partition(SpoolPartition):
    """Once this moment has been decided on, time goes on by a step."""

    def __init__(self, story: Story, spool: Spool, resume: Position | None) -> None:
        self.story = story
        super().__init__(spool, lambda: False, resume)

    def next_batch(self) -> list[Arrivals]:
        story = self.story
        self._perhaps_killed()
        if self._decided():
            if story.step == len(story.script):
                raise StopIteration
            passed, payloads = story.script[story.step]
            story.step += 1
            story.world.passed += passed
            for payload in payloads:
                self.spool.append("traces", payload).result(20)
            self._perhaps_killed()
        return super().next_batch()

    def _decided(self) -> bool:
        now = self.spool.clock.read().now_ns / 1e9
        return self.position.after >= self.spool.last_id() and self.position.clock >= now

    def _perhaps_killed(self) -> None:
        story = self.story
        story.reading += 1
        # The end is decided on in life, so that there is something to compare.
        if story.reading in story.kills and story.step < len(story.script) - 1:
            raise Killed

    def next_awake(self) -> None:
        return None


def _play(script: list, kills: set[int], workers: int = 1) -> Story:
    with tempfile.TemporaryDirectory() as directory:
        return Story(script, kills, Path(directory)).play(workers)


def _counts(story: Story) -> dict[str, tuple]:
    return {
        shard: (d.clock, d.series, d.bad, d.total, d.period, d.lifetime, d.frozen, d.too_late)
        for shard, d in story.final.items()
    }


def _rows(story: Story) -> dict[tuple, list]:
    """The same in any order of rows: which worker's half comes first gives a series its row."""
    return {
        (shard, key): [part[row].tolist() for part in (d.bad, d.total, d.period, d.lifetime)]
        for shard, d in story.final.items()
        for row, key in enumerate(d.series)
    }


def _assert_equal(one: Story, other: Story) -> None:
    assert _rows(one) == _rows(other)
    for shard, (clock, *_, frozen, too_late) in _counts(one).items():
        there = _counts(other)[shard]
        assert (clock, too_late) == (there[0], there[-1])
        assert frozen.tolist() == there[-2].tolist()


def _assert_told_the_same(spared: Story, killed: Story) -> None:
    """Every start and end, in order, but for what the process was not there to tell.

    An end that was decided on but not told before a kill is told with the first moment after it, or, if
    the alert fires again then, never: the alert goes on.
    """
    moments = [START / 1e9]
    for passed, _ in spared.script:
        moments.append(moments[-1] + passed / 1e9)
    number = {moment: n for n, moment in enumerate(moments)}
    lives, theirs = _lives(killed), _lives(spared)
    assert lives.keys() == theirs.keys()
    for alert, life in lives.items():
        assert not _different(life, theirs[alert], number), (life, theirs[alert])


def _different(life: list[Told], other: list[Told], number: dict[float, int]) -> bool:
    left, went_on = list(other), None
    for what, starts_at, ends_at in life:
        if not left:
            return True
        if what == "ended" and ends_at is not None:
            while (
                number[ends_at] > number[left[0].ends_at] + 1
                and len(left) > 2
                and number[left[1].starts_at] <= number[left[0].ends_at] + 2
            ):
                went_on = went_on or left[0].starts_at
                del left[:2]
        expected = left.pop(0)
        if what != expected.what or starts_at != (went_on or expected.starts_at):
            return True
        if ends_at is not None:
            went_on = None
            if not 0 <= number[ends_at] - number[expected.ends_at] <= 1:
                return True
    # What fires to the end may have gone on, too.
    return len(left) > 2 or (
        len(left) == 2 and number[left[1].starts_at] > number[left[0].ends_at] + 2
    )


def _lives(story: Story) -> dict[object, list[Told]]:
    lives: dict[object, list[Told]] = {}
    for alert, told in story.told:
        lives.setdefault(alert, []).append(told)
    return lives


@pytest.mark.timeout(600)
@settings(deadline=None, max_examples=6, phases=PHASES, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    kills=st.sets(st.integers(1, 400), min_size=1, max_size=8),
)
def test_a_killed_flow_tells_what_one_that_was_not_tells(seed: int, kills: set[int]) -> None:
    script = _script(seed, 200)
    spared, killed = _play(script, set()), _play(script, kills)
    _assert_equal(spared, killed)
    assert killed.active == spared.active
    _assert_told_the_same(spared, killed)


def test_the_script_has_alerts_that_come_and_go() -> None:
    told_ = _play(_script(1, 200), set()).told
    assert {told.what for _, told in told_} == {"fired", "ended"}
    assert len({alert for alert, _ in told_}) > 8


@pytest.mark.timeout(600)
@settings(deadline=None, max_examples=3, phases=PHASES, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    kills=st.sets(st.integers(1, 400), min_size=1, max_size=5),
)
def test_with_two_workers_every_count_is_the_same(seed: int, kills: set[int]) -> None:
    script = _script(seed, 120)
    spared, killed = _play(script, set(), 2), _play(script, kills, 2)
    _assert_equal(spared, killed)
    assert killed.active == spared.active
