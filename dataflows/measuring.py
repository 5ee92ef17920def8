"""Makes the measurers of a live engine, whose findings go to its metrics and its log."""

from collections.abc import Callable

from dataflows.guarded import Guarded
from engine.columns.measure import Measurer
from engine.columns.memory import CallMemory
from engine.spool.arrivals import Arrivals
from engine.telemetry.log import log
from engine.telemetry.metrics import EngineMetrics
from engine.telemetry.watch import LiveWatch
from slo.plan import Plan


class Measurers:
    """Makes measurers.

    Args:
        metrics: the engine's own.
        watch: told what each batch held.
        set_aside: takes a payload that trips a mistake of ours.
    """

    def __init__(
        self,
        metrics: EngineMetrics,
        watch: LiveWatch,
        set_aside: Callable[[Arrivals, Exception], None],
    ) -> None:
        self._metrics = metrics
        self._watch = watch
        self._keep = set_aside

    def memory(self) -> CallMemory:
        """What all measurers of a flow remember of calls."""
        return CallMemory(shortened=self._metrics.call_memory_shortened.inc)

    def make(self, plan: Plan, memory: CallMemory | None = None) -> Guarded:
        """A measurer of one worker."""
        metrics = self._metrics
        measurer = Measurer(
            plan.objectives,
            plan.shards,
            plan.skew,
            self._undecodable,
            lambda reason, count: metrics.apart.labels(reason).inc(count),
            _warn_of_edge,
            self._watch.measured,
            metrics.overflowed_points.inc,
            plan.admitted,
            plan.monitors,
            self._watch.unjudged,
            plan.usage,
            lambda field, count: metrics.unusable_numbers.labels(field).inc(count),
            memory,
        )
        return Guarded(measurer, self._set_aside)

    def _undecodable(self, which: str, reason: str) -> None:
        self._metrics.undecodable.labels(which).inc()
        log.error("not decoded", signal=which, reason=reason)

    def _set_aside(self, which: str, failure: Exception, one: Arrivals) -> None:
        self._metrics.undecodable.labels(which).inc()
        self._keep(one, failure)
        log.error(
            "a payload is not counted because of a mistake in Burnline; please report it",
            signal=which,
            exc_info=failure,
        )


def _warn_of_edge(objective: str, metric: str, edge: float) -> None:
    log.warning(
        "a histogram has no bucket edge at the bound: what lies between counts as bad; give the "
        "instrument an edge there, or use spans",
        slo=objective,
        metric=metric,
        edge_used=edge,
    )
