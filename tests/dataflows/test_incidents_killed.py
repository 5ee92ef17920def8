"""Incidents of a flow on a real spool that is killed at chosen moments: those of one that never was.

A detector that remembers one reading stands in for the default one, which learns for longer than the story
lasts: a reading that is lost, or judged twice, changes what it says of the next.
"""

import math
import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Self

import numpy as np
import pytest
from bytewax.errors import BytewaxRuntimeError
from bytewax.recovery import RecoveryConfig
from bytewax.testing import cluster_main
from hypothesis import given, settings
from hypothesis import strategies as st

from dataflows.flow import build
from detectors import Verdicts
from engine.columns.measure import Measurer
from engine.sinks.board import Board
from engine.sinks.publish import Publish
from engine.sinks.shown import Change
from engine.spool.clock import SECOND_NS
from engine.spool.spool import Spool
from slo.anomalies import _parts, detecting
from slo.anomalies.decision import AnomalyDecision, Incident
from tests.dataflows.test_killed import PHASES, Killed, Step, Story, _payload, _Source
from tests.dataflows.test_readings_killed import PLAN, _script
from tests.engine.spool.clocks import World


class Jumps:
    """Strange is what is far from the reading before."""

    def __init__(self, every: float, false_alarms: float) -> None:
        self.every, self.false_alarms = every, false_alarms
        self.before = np.empty(0)

    @property
    def rows(self) -> int:
        return len(self.before)

    def grow(self, rows: int) -> None:
        self.before = np.pad(
            self.before, (0, max(0, rows - self.rows)), constant_values=(0.0, np.nan)
        )

    def reset(self, row: int) -> None:
        self.before[row] = np.nan

    def observe(self, _at: float, values: np.ndarray) -> Verdicts:
        before, self.before = self.before, np.where(np.isnan(values), self.before, values)
        far = np.abs(values - before) > np.abs(before) + 0.5
        return Verdicts(
            score=np.where(far, 1.0, 0.0),
            probability=np.where(far, 1e-6, 1.0),
            expected=before,
            lower=before - np.abs(before) - 0.5,
            upper=before + np.abs(before) + 0.5,
            alert=far,
            learning=np.isnan(before),
        )

    def trimmed(self) -> Self:
        return self


@pytest.fixture(scope="module", autouse=True)
def _quick() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detecting, "Bank", Jumps)
        patch.setattr(_parts, "HOLD_SECONDS", 10.0)
        patch.setattr(_parts, "HOLD_INTERVALS", 1)
        yield


Moment = tuple[str, int, float]


@dataclass
class IncidentStory(Story):
    """A script as it is played; what is decided twice has to be decided the same.

    Attributes:
        decided: of every moment, what was said.
        shown: at the end, the alerts of anomalies.
        lives: of each alert of an incident that was told, its starts as they were told.
        ended: those of which an end was told last.
        pages: (start, end) of each page of an SLO that was told; its end infinite while it fires.
    """

    world: World = field(default_factory=lambda: World(passed=3 * SECOND_NS))
    decided: dict[Moment, object] = field(default_factory=dict)
    twice: int = 0
    shown: dict[tuple, float] = field(default_factory=dict)
    lives: dict[tuple, list[float]] = field(default_factory=dict)
    ended: dict[tuple, bool] = field(default_factory=dict)
    pages: set[tuple[float, float]] = field(default_factory=set)
    epoch: timedelta = timedelta(milliseconds=150)

    def _live(self, recovery: Path, workers: int) -> bool:
        spool = Spool(self.directory / "spool.db", clock=self.world.clock())
        board = Board(
            PLAN.objectives,
            self.directory / "alerts.json",
            clock=lambda: self.world.passed / 1e9,
            wall=lambda: self.world.wall() / 1e9,
            monitors=PLAN.monitors,
        )
        board.subscribe(self._hear)

        def take(decision: AnomalyDecision) -> None:
            self._keep(decision)
            board.publish_anomalies(decision)

        flow = build(
            PLAN,
            _Source(spool, self),
            Publish(lambda: board.publish),
            lambda: Measurer(PLAN.objectives, PLAN.shards, PLAN.skew, monitors=PLAN.monitors),
            spread=True,
            anomalies=Publish(lambda: take),
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
        self.shown = {
            s.labels: s.alert.starts_at
            for s in board.active_alerts()
            if isinstance(s.alert, Incident)
        }
        return True

    def _keep(self, decision: AnomalyDecision) -> None:
        moment = (decision.shard, decision.every, decision.at)
        said = _said(decision)
        if moment in self.decided:
            self.twice += 1
            assert self.decided[moment] == said
        self.decided[moment] = said

    def _hear(self, change: Change) -> None:
        for shown in (*change.fired, *change.ended):
            if isinstance(shown.alert, Incident):
                key = (shown.labels, shown.alert.opened)
                self.lives.setdefault(key, []).append(shown.alert.starts_at)
                self.ended[key] = shown.alert.ends_at is not None
            elif shown.alert.severity == "page":
                self.pages.add((shown.alert.starts_at, shown.alert.ends_at or math.inf))


def _said(decision: AnomalyDecision) -> object:
    """In any order of places: which worker's part comes first decides on that."""
    values = map(str, decision.values.tolist())
    told = zip(decision.keys, values, decision.verdicts.alert.tolist(), strict=True)
    incidents = {
        (i.service, i.severity, i.opened): ({m.key for m in i.members}, i.count, i.ends_at is None)
        for i in (*decision.incidents, *decision.ended)
    }
    return {key: said for key, *said in told}, incidents, decision.frozen


def _story(seed: int, steps: int) -> list[Step]:
    """A script that begins with traffic, as a flow does that is killed before its first snapshot."""
    first = _payload(random.Random(seed), World().wall() + 4 * SECOND_NS, burning=False)
    return [(SECOND_NS, (first,)), *_script(seed, steps)]


def _play(
    script: list[Step], kills: set[int], workers: int = 1, **changes: timedelta
) -> IncidentStory:
    with tempfile.TemporaryDirectory() as directory:
        story = IncidentStory(list(script), kills, Path(directory), **changes)
        story.play(workers)
        return story


def _is_raised(key: tuple, killed: IncidentStory, spared: IncidentStory) -> bool:
    """Whether this is an incident of the spared flow, too, as a page beside one of an SLO."""
    labels, opened = key
    ticket = tuple((n, "ticket" if n == "severity" else v) for n, v in labels), opened
    ends = [end for _, end in killed.pages & spared.pages]
    return ticket != key and ticket in spared.lives and any(end >= opened for end in ends)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("workers", [1, 2])
@settings(deadline=None, max_examples=2, phases=PHASES, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    kills=st.sets(st.integers(1, 300), min_size=1, max_size=6),
)
def test_a_killed_flow_has_the_incidents_of_one_that_was_not(
    workers: int, seed: int, kills: set[int]
) -> None:
    script = _story(seed, 120)
    spared, killed = _play(script, set(), workers), _play(script, kills, workers)
    assert killed.decided == spared.decided
    assert killed.shown == spared.shown
    more = killed.lives.keys() - spared.lives.keys()
    if workers == 2:
        # Which of two workers is heard first, that of the SLO or that of the incident, is chance; and so is
        # whether an incident becomes a page for a moment while an SLO pages.
        more -= {key for key in more if _is_raised(key, killed, spared)}
    assert not more, "nothing is told that was not"
    for key in killed.lives.keys() & spared.lives.keys():
        starts = killed.lives[key]
        # A page that was raised may end, and be raised again by a later burn.
        assert set(starts) <= set(spared.lives[key]), "the starts of one, whatever came between"
    left = {labels for (labels, _), ended in killed.ended.items() if not ended}
    assert left == killed.shown.keys(), "what is over was told to be"


def test_the_script_has_incidents_that_come_and_go_and_moments_that_are_decided_twice() -> None:
    # Without a snapshot all is read again.
    story = _play(_story(1, 150), {60, 150, 210}, epoch=timedelta(hours=1))
    assert story.twice
    assert sum(story.ended.values()) >= 3
    assert len(story.decided) > 30
