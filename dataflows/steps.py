"""The stateful steps: Bytewax logic around the pure shards of `slo`.

A snapshot is pickled here and now, because Bytewax may serialise it only after later batches
have changed the arrays.
"""

import pickle
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any, Protocol

from bytewax.operators import StatefulBatchLogic

from engine.telemetry.watch import Watch
from slo.anomalies.decider import AnomalyDecider
from slo.anomalies.decision import AnomalyDecision
from slo.anomalies.gathering import Gathering
from slo.anomalies.messages import Readings, Sampled
from slo.anomalies.model import Monitor
from slo.decider import Decider
from slo.decision import Decision
from slo.durations import format_duration
from slo.messages import Deposit, Update, merge
from slo.plan import Plan
from slo.shard import Coarse, Intake
from slo.together import Together
from slo.usage.ledger import Ledger
from slo.usage.messages import UsageTotals, Used
from slo.windows import Level

_RETAIN = StatefulBatchLogic.RETAIN


class _Watched(Protocol):
    """A step that tells what it does."""

    watch: Watch


class IntakeStep(StatefulBatchLogic[Deposit, Update, bytes]):
    """Level 0 of a shard."""

    def __init__(self, plan: Plan, watch: Watch, resume: bytes | None) -> None:
        self.watch = watch
        self.intake = Intake(
            plan.by_id,
            plan.level(0),
            plan.horizon,
            plan.series_limit,
            plan.shard_limit,
            plan.stale_after,
            plan.watched_since,
            plan.shards,
            plan.admitted,
        )
        state = None if resume is None else pickle.loads(resume)  # noqa: S301  our own recovery store
        if state is not None:
            self.intake.restore(state)
        self.together: Together[Deposit] = Together(_held(state))

    def on_batch(self, values: list[Deposit]) -> tuple[Iterable[Update], bool]:
        """Count what waited of one second as one, unless every moment is to be decided on.

        A backlog is decided on second by second, so that a replay decides as before and a burn
        that began and ended while we were away is not passed over.
        """
        began = time.perf_counter_ns()
        values = self.together.take(values)
        if not values:
            return (), _RETAIN
        if len(values) > 1 and not values[0].exact:
            seconds = groupby(values, key=_second)
            values = [merge(list(group)) for _, group in seconds]
        updates = [update for deposit in values for update in self.intake.take(deposit)]
        self.watch.spent("intake", values[-1].clock, began)
        return updates, _RETAIN

    def snapshot(self) -> bytes:
        """The intake's state."""
        return _saved(self, "intake", lambda: self.intake.state() | _holding(self.together))


class CoarseStep(StatefulBatchLogic[Update, Update, bytes]):
    """A coarser level of a shard."""

    def __init__(self, plan: Plan, watch: Watch, number: int, resume: bytes | None) -> None:
        self.watch = watch
        level = plan.level(number)
        if resume is not None:
            kept: Level = pickle.loads(resume)  # noqa: S301  our own recovery store
            level = kept.fitted(level.windows, level.parent)
        self.coarse = Coarse(number, level)

    def on_batch(self, values: list[Update]) -> tuple[Iterable[Update], bool]:
        """Count what the finer level passed on, each by itself: the decider waits for each."""
        began = time.perf_counter_ns()
        updates = [self.coarse.take(update) for update in values]
        self.watch.spent("windows", values[-1].clock, began)
        return updates, _RETAIN

    def snapshot(self) -> bytes:
        """The level."""
        return _saved(
            self,
            f"window_{format_duration(self.coarse.level.granularity)}",
            self.coarse.level.trimmed,
        )


class DecideStep(StatefulBatchLogic[Update, Decision, bytes]):
    """The decisions of a shard."""

    def __init__(self, plan: Plan, watch: Watch, resume: bytes | None) -> None:
        self.watch = watch
        state = None if resume is None else pickle.loads(resume)  # noqa: S301  our own recovery store
        self.decider = Decider(plan.by_id, plan.windows, plan.stale_after, state, plan.told())

    def on_batch(self, values: list[Update]) -> tuple[Iterable[Decision], bool]:
        """Decide on what is complete."""
        began = time.perf_counter_ns()
        decisions = [d for update in values for d in self.decider.take(update)]
        self.watch.spent("decide", values[-1].clock, began)
        return decisions, _RETAIN

    def snapshot(self) -> bytes:
        """The decider's state."""
        return _saved(self, "decide", self.decider.state)


class ReadingsStep(StatefulBatchLogic[Sampled, Readings, bytes]):
    """The readings of a shard of what is watched for anomalies."""

    def __init__(self, plan: Plan, watch: Watch, resume: bytes | None) -> None:
        self.watch = watch
        self.gathering = Gathering(
            {monitor.id: monitor for monitor in plan.monitors},
            plan.stale_after,
            plan.entity_limit,
            watch.unjudged,
        )
        state = None if resume is None else pickle.loads(resume)  # noqa: S301  our own recovery store
        if state is not None:
            self.gathering.restore(state)
        self.together: Together[Sampled] = Together(_held(state))

    def on_batch(self, values: list[Sampled]) -> tuple[Iterable[Readings], bool]:
        """Count what came, in order of its arrival: other workers may have been slower."""
        began = time.perf_counter_ns()
        ordered = sorted(self.together.take(values), key=attrgetter("clock"))
        readings = [one for sampled in ordered for one in self.gathering.take(sampled)]
        self.watch.gathered(began)
        return readings, _RETAIN

    def snapshot(self) -> bytes:
        """What is open, and what is known."""
        return _saved(self, "readings", lambda: self.gathering.state() | _holding(self.together))


class DetectStep(StatefulBatchLogic[Readings, AnomalyDecision, bytes]):
    """The anomalies of a shard. It is awake, and so saved, only where an interval has ended."""

    def __init__(self, monitors: Mapping[str, Monitor], watch: Watch, resume: bytes | None) -> None:
        self.watch = watch
        state = None if resume is None else pickle.loads(resume)  # noqa: S301  our own recovery store
        self.decider = AnomalyDecider(monitors, state)

    def on_batch(self, values: list[Readings]) -> tuple[Iterable[AnomalyDecision], bool]:
        """Judge the readings of each moment, in their order.

        A detector that fails costs its moment: SLOs are decided on by the same process.
        """
        began = time.perf_counter_ns()
        decisions = []
        for readings in values:
            try:
                decision = self.decider.take(readings)
            except MemoryError:
                raise
            except Exception as failure:  # noqa: BLE001 - told, and the rest goes on
                self.watch.undetected(readings, failure)
            else:
                decisions += [] if decision is None else [decision]
        self.watch.spent("detect", values[-1].clock, began)
        return decisions, _RETAIN

    def snapshot(self) -> bytes:
        """Detectors and open incidents."""
        return _saved(self, "detect", self.decider.state)


class UsageStep(StatefulBatchLogic[Used, UsageTotals, bytes]):
    """What the model calls of a shard have used."""

    def __init__(self, plan: Plan, watch: Watch, resume: bytes | None) -> None:
        self.watch = watch
        self.ledger = Ledger(
            plan.shards, plan.usage_shard_limit, plan.admitted, tenants=plan.usage == "full"
        )
        state = None if resume is None else pickle.loads(resume)  # noqa: S301  our own recovery store
        if state is not None:
            self.ledger.restore(state)
        self.together: Together[Used] = Together(_held(state))

    def on_batch(self, values: list[Used]) -> tuple[Iterable[UsageTotals], bool]:
        """Add up what came; the order does not matter."""
        began = time.perf_counter_ns()
        taken = self.together.take(values)
        totals = [told for used in taken if (told := self.ledger.take(used)) is not None]
        self.watch.counted(began)
        return totals, _RETAIN

    def snapshot(self) -> bytes:
        """The ledger."""
        return _saved(self, "usage", lambda: self.ledger.state() | _holding(self.together))


def _saved(step: _Watched, name: str, state: Callable[[], object]) -> bytes:
    began = time.perf_counter_ns()
    saved = pickle.dumps(state(), pickle.HIGHEST_PROTOCOL)
    step.watch.saved(name, id(step), began, len(saved))
    return saved


def _holding(together: Together[Any]) -> dict[str, object]:
    """What a snapshot keeps of messages that wait; nearly always nothing."""
    held = together.held()
    return {"held": held} if held else {}


def _held(state: Mapping[str, Any] | None) -> Sequence[Any]:
    return () if state is None else state.get("held", ())


def _second(deposit: Deposit) -> tuple[int, int]:
    """The clock's second, and the step of the clock if it was stepped within it."""
    return int(deposit.clock), deposit.ahead_ns // 1_000_000_000
