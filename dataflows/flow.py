"""The dataflow: from payloads to decisions, as a list of named steps.

    arrivals -> measure -> intake -> window_30s -> window_1m30s -> window_15m -> window_2h
                              |          |            |            |             |
                              +----------+------------+------------+-------------+-> decide -> publish

Everything from `intake` on is keyed by virtual shard. With monitors there is a second branch,
`measure -> readings -> detect`, keyed by virtual shards of services; where model calls are counted a third,
`measure -> usage`. Live and in a backtest it is the same flow; only the source and the sink differ.
"""

import gc
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TypeGuard, cast

import bytewax.operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import Source
from bytewax.operators import KeyedStream
from bytewax.outputs import Sink

from dataflows.guarded import Keyed, Measuring
from dataflows.steps import CoarseStep, DecideStep, DetectStep, IntakeStep, ReadingsStep, UsageStep
from engine.spool.arrivals import Arrivals
from engine.telemetry.watch import Watch
from slo.anomalies.decision import AnomalyDecision
from slo.anomalies.messages import Readings, Sampled
from slo.anomalies.model import Monitor
from slo.decision import Decision
from slo.durations import format_duration
from slo.messages import Deposit, Update
from slo.plan import Plan
from slo.usage.messages import UsageTotals, Used
from slo.windows import GRANULARITIES


def build(
    plan: Plan,
    source: Source[Arrivals],
    sink: Sink[tuple[str, Decision]],
    measurer: Callable[[], Measuring],
    *,
    spread: bool = False,
    watch: Watch | None = None,
    readings: Sink[tuple[str, Readings]] | None = None,
    anomalies: Sink[tuple[str, AnomalyDecision]] | None = None,
    usage: Sink[tuple[str, UsageTotals]] | None = None,
    name: str = "arrivals",
) -> Dataflow:
    """Build the flow.

    Args:
        plan: the objectives and monitors, and what follows from them.
        source: emits `Arrivals`.
        sink: takes `(shard, Decision)`.
        measurer: makes the measurer of a worker.
        spread: share spans out among the workers before they are decoded. Metric points keep
            their order, as increments need, and so stay with the source's worker; so does a replay,
            which no live tick may overtake: it would decide without what had been counted before.
        watch: told what the steps do.
        readings: takes `(shard, Readings)` of what is watched for anomalies.
        anomalies: takes `(shard, AnomalyDecision)`; without it nothing is judged.
        usage: takes `(shard, UsageTotals)` of what model calls used.
        name: the source's name. Bytewax fails on the state of parts that a source has no more, so each
            kind of source has its own.
    """
    watch = watch or Watch()
    # What start-up made stays: the cycle collector need not walk over it again and again. What is left of
    # a flow before this one goes.
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    flow = Dataflow("burnline")
    arrivals = op.input(name, flow, source)
    measure = partial(_measure, _PerThread(measurer), watch)
    if spread:
        kinds = op.branch("ordered", arrivals, _ordered)
        spans = op.redistribute("spread", kinds.falses)
        arrivals = op.merge("shared", kinds.trues, spans)
    measured: KeyedStream[Deposit | Sampled | Used] = op.flat_map("measure", arrivals, measure)
    if plan.monitors:
        judged = op.branch("watched", measured, _is_sampled)
        step = partial(ReadingsStep, plan, watch)
        read = op.stateful_batch("readings", judged.trues, step)
        if readings is not None:
            op.output("tell_readings", read, readings)
        if anomalies is not None:
            detect(read, {monitor.id: monitor for monitor in plan.monitors}, anomalies, watch)
        elif readings is None:
            op.inspect("unread", read, lambda _step, _readings: None)
        measured = judged.falses
    if plan.usage != "off":
        calls = op.branch("calls", measured, _is_used)
        totals = op.stateful_batch("usage", calls.trues, partial(UsageStep, plan, watch))
        if usage is not None:
            op.output("publish_usage", totals, usage)
        else:
            op.inspect("unread_usage", totals, lambda _step, _totals: None)
        measured = calls.falses
    deposits = cast("KeyedStream[Deposit]", measured)
    updates: KeyedStream[Update] = op.stateful_batch(
        "intake", deposits, partial(IntakeStep, plan, watch)
    )
    levels = [updates]
    for number in range(1, len(GRANULARITIES)):
        onward = op.filter(f"onward_{number}", updates, _goes_on)
        updates = op.stateful_batch(
            f"window_{format_duration(GRANULARITIES[number])}",
            onward,
            partial(CoarseStep, plan, watch, number),
        )
        levels.append(updates)
    together = op.merge("updates", *levels)
    decisions = op.stateful_batch("decide", together, partial(DecideStep, plan, watch))
    op.output("publish", decisions, sink)
    return flow


def detect(
    readings: KeyedStream[Readings],
    monitors: Mapping[str, Monitor],
    sink: Sink[tuple[str, AnomalyDecision]],
    watch: Watch | None = None,
) -> None:
    """Go on from readings to decisions on anomalies.

    Args:
        readings: keyed by shard; all of a service in one.
        monitors: by id.
        sink: takes `(shard, AnomalyDecision)`.
        watch: told what the step does.
    """
    step = partial(DetectStep, monitors, watch or Watch())
    op.output("publish_anomalies", op.stateful_batch("detect", readings, step), sink)


class _PerThread(threading.local):
    """One measurer a worker: workers of a process are threads, and its buffers are not for sharing."""

    def __init__(self, make: Callable[[], Measuring]) -> None:
        super().__init__()
        self.measurer = make()


def _measure(local: _PerThread, watch: Watch, arrivals: Arrivals) -> Iterable[Keyed]:
    began = time.perf_counter_ns()
    watch.arrived(arrivals, began)
    deposits = local.measurer.measure(arrivals)
    watch.spent("measure", arrivals.clock, began)
    return deposits


def _ordered(arrivals: Arrivals) -> bool:
    return bool(arrivals.metrics) or arrivals.tick or not arrivals.live


def _is_sampled(keyed: Keyed) -> TypeGuard[tuple[str, Sampled]]:
    return isinstance(keyed[1], Sampled)


def _is_used(keyed: Keyed) -> TypeGuard[tuple[str, Used]]:
    return isinstance(keyed[1], Used)


def _goes_on(keyed: tuple[str, Update]) -> bool:
    return keyed[1].onward is not None
