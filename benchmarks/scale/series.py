"""A shard of many series with a month behind it, driven step by step as Bytewax would.

Series are as uneven as tenants are: the events a second of each are drawn from a log-normal distribution, so
that about a fifth of them have any within ten seconds.
"""

import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from dataflows.steps import CoarseStep, DecideStep, IntakeStep
from engine.telemetry.watch import Watch
from slo import load
from slo.decision import Decision, SeriesKey
from slo.messages import Deposit
from slo.plan import Plan
from slo.windows import GRANULARITIES, Entries, Level, reach

MEDIAN_RATE, SPREAD = 0.01, 2.0
BAD_SHARE = 0.0002

SLOS = """\
apiVersion: burnline/v1
service: chat-api
slos:
  - name: availability
    objective: 99.9
    sli:
      spans: {total: '{}', bad: '{ status = error }'}
    by: [span.gen_ai.request.model, span.tenant.id]
"""


class Spent(NamedTuple):
    """Seconds, by the wall's clock and of the processor."""

    wall: float
    cpu: float


class Stopwatch:
    """Times what is done between `with` and its end."""

    def __enter__(self) -> Self:
        """Begin."""
        self._began = time.perf_counter(), time.thread_time()
        return self

    def __exit__(self, *_error: object) -> None:
        """End."""
        wall, cpu = self._began
        self.spent = Spent(time.perf_counter() - wall, time.thread_time() - cpu)


def plan_of() -> Plan:
    """One SLO, the default windows, no limit that would be met."""
    return Plan(load({"bench.yaml": SLOS}).objectives, series_limit=10**9)


def keys_of(plan: Plan, rows: int) -> tuple[SeriesKey, ...]:
    """So many series: 20 models by tenants."""
    (objective,) = plan.objectives
    return tuple(
        SeriesKey(objective.id, (f"model-{n % 20}", f"tenant-{n}"), objective.generation)
        for n in range(rows)
    )


class Steps:
    """The steps of one shard.

    Args:
        plan: what is counted.
        rows: series of this shard.
        clock: Unix seconds.
        saved: snapshots of steps to go on from, or None to begin with a month's history.
    """

    def __init__(
        self, plan: Plan, rows: int, clock: float, saved: Sequence[bytes] | None = None
    ) -> None:
        watch = Watch()
        states: Sequence[bytes | None] = saved or [None] * (len(GRANULARITIES) + 1)
        self.intake = IntakeStep(plan, watch, states[0])
        self.coarse = [
            CoarseStep(plan, watch, number, states[number])
            for number in range(1, len(GRANULARITIES))
        ]
        self.decide = DecideStep(plan, watch, states[-1])
        self.keys = keys_of(plan, rows)
        self.rng = np.random.default_rng(rows)
        self.rates = np.exp(self.rng.normal(np.log(MEDIAN_RATE), SPREAD, rows))
        if saved is None:
            self.take(self.deposit(clock, np.arange(rows)))
            self.age(clock)

    @property
    def steps(self) -> dict[str, Any]:
        """By name, as snapshots are told."""
        names = ["intake", "window_30s", "window_1m30s", "window_15m", "window_2h", "decide"]
        return dict(zip(names, [self.intake, *self.coarse, self.decide], strict=True))

    def age(self, clock: float) -> None:
        """A month's history, by each series' rate."""
        levels = [self.intake.intake.level, *(step.coarse.level for step in self.coarse)]
        for level in levels:
            _fill(level, int(clock), self.rates, self.rng)

    def deposit(self, clock: float, rows: NDArray[np.int64]) -> Deposit:
        """An event of each of these series."""
        bad = self.rng.random(len(rows)) < BAD_SHARE
        return Deposit(
            shard="0",
            clock=clock,
            keys=tuple(self.keys[row] for row in rows.tolist()),
            entries=Entries(
                np.arange(len(rows)),
                np.full(len(rows), int(clock)),
                np.stack([bad, np.ones_like(bad)], axis=1).astype(np.int64),
            ),
            watermarks=(clock, 0.0),
        )

    def events(self, clock: float, seconds: float) -> Deposit:
        """What comes in so many seconds, by the series' rates."""
        came = np.flatnonzero(self.rng.random(len(self.rates)) < -np.expm1(-self.rates * seconds))
        return self.deposit(clock, came)

    def take(self, deposit: Deposit) -> list[Decision]:
        """All that follows from a deposit."""
        updates, _ = self.intake.on_batch([deposit])
        decisions: list[Decision] = []
        for update in updates:
            chain = [update]
            for step in self.coarse:
                if chain[-1].onward is None:
                    break
                (onward,) = step.on_batch([chain[-1]])[0]
                chain.append(onward)
            for one in chain:
                decisions += self.decide.on_batch([one])[0]
        return decisions

    def snapshots(self) -> Iterable[tuple[str, bytes, Spent]]:
        """Of each step its snapshot, and what that took."""
        for name, step in self.steps.items():
            with Stopwatch() as watch:
                saved = step.snapshot()
            yield name, saved, watch.spent


def _fill(level: Level, clock: int, rates: NDArray[np.float64], rng: np.random.Generator) -> None:
    """Counts in all buckets but the open one, and the sums over them."""
    rows = len(rates)
    level.grow(rows)
    level.head = clock // level.granularity
    for back in range(1, level.length):
        total = rng.poisson(rates * level.granularity)
        bucket = level.ring[(level.head - back) % level.length]
        bucket[:rows, 1] = total
        bucket[:rows, 0] = rng.binomial(total, BAD_SHARE)
    for number, window in enumerate(level.windows):
        kept = range(level.head - reach(window, level.granularity) + 1, level.head + 1)
        at = [bucket % level.length for bucket in kept]
        level.sums[:rows, number] = sum(level.ring[place, :rows].astype(np.int64) for place in at)
