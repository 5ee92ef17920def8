"""Readings of a flow on a real spool that is killed at chosen moments: those of one that never was."""

import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bytewax.errors import BytewaxRuntimeError
from bytewax.recovery import RecoveryConfig
from bytewax.testing import cluster_main
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflows.flow import build
from engine.columns.measure import Measurer
from engine.sinks.publish import Publish
from engine.spool.clock import SECOND_NS
from engine.spool.spool import Spool
from slo.anomalies.messages import Readings
from slo.anomalies.model import Feature, Monitor
from slo.columns import Field
from slo.plan import Plan
from slo.traceql import parse_filter
from tests.dataflows.readings import ReadingsSink
from tests.dataflows.test_killed import OBJECTIVES, PHASES, Killed, Step, Story, _payload, _Source
from tests.engine.spool.clocks import World

TENANTS = Monitor(
    service="s",
    name="tenants",
    spans=parse_filter("{ }"),
    features=(
        Feature("rate", "rate"),
        Feature("errors", "errors"),
        Feature("p95_duration", "quantile", of=Field("intrinsic", "duration"), quantile=0.95),
    ),
    by=(Field("span", "tenant"),),
    every=10,
)
PLAN = Plan(
    OBJECTIVES[:2], shards=3, monitors=(TENANTS, replace(TENANTS, name="all", by=(), every=60))
)
Key = tuple[str, int, float]


def _script(seed: int, steps: int) -> list[Step]:
    """Traffic with late spans and pauses shorter than what counts as not listening."""
    rng = random.Random(seed)
    script, now_ns = [], World().wall() + 3 * SECOND_NS
    for _ in range(steps):
        seconds = 1 if rng.random() < 0.8 else rng.choice((5, 15))
        now_ns += seconds * SECOND_NS
        busy = seconds > 1 or rng.random() < 0.7
        payloads = [_payload(rng, now_ns, burning=False) for _ in range(rng.randrange(1, 3))]
        script.append((seconds * SECOND_NS, tuple(payloads) if busy else ()))
    return [*script, (SECOND_NS, ()), (SECOND_NS, ())]


@dataclass
class ReadingsStory(Story):
    """A script as it is played; what is told twice has to be told the same."""

    # A flow that is killed before its first snapshot begins anew, and later: not at an interval's edge.
    world: World = field(default_factory=lambda: World(passed=3 * SECOND_NS))
    found: dict[Key, Readings] = field(default_factory=dict)
    twice: int = 0
    epoch: timedelta = timedelta(milliseconds=150)

    def _live(self, recovery: Path, workers: int) -> bool:
        spool = Spool(self.directory / "spool.db", clock=self.world.clock())
        flow = build(
            PLAN,
            _Source(spool, self),
            Publish(lambda: lambda _decision: None),
            lambda: Measurer(PLAN.objectives, PLAN.shards, PLAN.skew, monitors=PLAN.monitors),
            spread=True,
            readings=ReadingsSink(self._take),
        )
        try:
            cluster_main(
                flow,
                [],
                0,
                epoch_interval=self.epoch,
                recovery_config=RecoveryConfig(recovery),
                worker_count_per_proc=workers,
            )
        except BytewaxRuntimeError as error:
            if not isinstance(error.__cause__, Killed):
                raise
            return False
        finally:
            spool.close()
        return True

    def _take(self, readings: Readings) -> None:
        key = (readings.shard, readings.every, readings.at)
        if key in self.found:
            self.twice += 1
            assert _values(self.found[key]) == _values(readings)
        self.found[key] = readings


def _values(readings: Readings) -> dict[object, object]:
    """The same in any order of places: which worker's part comes first decides on that."""
    told = zip(readings.keys, readings.values.tolist(), readings.counts.tolist(), strict=True)
    values: dict[object, object] = {key: (str(value), count) for key, value, count in told}
    return values | {"frozen": readings.frozen}


def _play(
    script: Sequence[Step], kills: set[int], workers: int = 1, **changes: Any
) -> ReadingsStory:
    with tempfile.TemporaryDirectory() as directory:
        story = ReadingsStory(list(script), kills, Path(directory), **changes)
        story.play(workers)
        return story


def _assert_same(one: ReadingsStory, other: ReadingsStory) -> None:
    found, others = (
        {key: _values(readings) for key, readings in story.found.items()} for story in (one, other)
    )
    assert found == others


@pytest.mark.timeout(600)
@pytest.mark.parametrize("workers", [1, 2])
@settings(deadline=None, max_examples=4, phases=PHASES, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    kills=st.sets(st.integers(1, 300), min_size=1, max_size=6),
)
def test_a_killed_flow_has_the_readings_of_one_that_was_not(
    workers: int, seed: int, kills: set[int]
) -> None:
    script = _script(seed, 120)
    _assert_same(_play(script, set(), workers), _play(script, kills, workers))


def test_the_script_has_readings_that_are_told_twice() -> None:
    script = _script(1, 150)
    story = _play(
        script, {60, 150, 210}, epoch=timedelta(hours=1)
    )  # no snapshot: all is read again
    assert story.twice
    events = {
        key.feature
        for readings in story.found.values()
        for key, count in zip(readings.keys, readings.counts.tolist(), strict=True)
        if count
    }
    assert events == {"rate", "errors", "p95_duration"}
    assert not any(np.isnan(r.values).all() for r in story.found.values() if not r.frozen)


def test_one_worker_and_two_have_the_same_readings() -> None:
    script = _script(2, 120)
    _assert_same(_play(script, set(), 1), _play(script, set(), 2))
