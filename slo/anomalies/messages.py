"""What the anomaly steps of the flow tell each other: samples in, readings at each interval's end."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from slo.increments import Point
from slo.origins import WHOLE, Origin


class EntityKey(NamedTuple):
    """One thing that is watched: a monitor (`Monitor.id`) and the values of its `by`, in that order.

    `service` is the name of the service that it belongs to: from the entity's own
    `resource.service.name` where `by` has that, else the file's. All entities of a service are in one shard.
    """

    monitor: str
    group: tuple[str, ...]
    service: str
    generation: str = ""


class ReadingKey(NamedTuple):
    """One series: a feature of an entity (`rate`, `errors`, `p95_duration`)."""

    entity: EntityKey
    feature: str


@dataclass(frozen=True, slots=True)
class Readings:
    """The readings of a shard at the end of one interval of one length.

    Attributes:
        shard: the shard's key.
        clock: Unix seconds of the engine's clock when it was closed; live the wall clock.
        live: False while what is read was read before a restart already.
        at: Unix seconds at which the interval ended, a multiple of `every`; each is emitted once, ascending,
            also where nothing arrived in it.
        every: its length in seconds.
        keys: the series known so far for this `every`, one an element. Appended to; a place changes its
            series only after that was `gone`, and is then in `reset`.
        values: `float64[keys]`; NaN where there is none (a quantile of no spans); a rate of no spans is 0.
        counts: `int64[keys]`: the events that a value is made of.
        trace_ids: hex ids of a few of an entity's spans in the interval (of errors and of the slowest first).
        frozen: the source has gone silent, or the engine was not listening: these readings tell nothing of
            the service, and all are NaN.
        watermark: Unix seconds of the newest arrival of the source, 0 before the first.
        gone: series that have ended: their entity was silent for a day, or their monitor has changed. Their
            places are NaN until they are another's.
        reset: places that have another series than in the readings before.
    """

    shard: str
    clock: float
    live: bool
    at: float
    every: int
    keys: tuple[ReadingKey, ...]
    values: NDArray[np.float64]
    counts: NDArray[np.int64]
    trace_ids: dict[EntityKey, tuple[str, ...]] = field(default_factory=dict)
    frozen: bool = False
    watermark: float = 0.0
    gone: tuple[ReadingKey, ...] = ()
    reset: tuple[int, ...] = ()


class Part(NamedTuple):
    """What a feature is made of, as far as it was measured; parts of the same interval add up.

    Attributes:
        events: that have the number, or that count.
        total: their sum; of `errors`, those that are errors.
        bins: of a quantile, see `slo.anomalies.sketch`.
    """

    events: int
    total: float = 0.0
    bins: Mapping[int, float] | None = None


class Example(NamedTuple):
    """A span to look at; the greatest is the most telling."""

    failed: bool
    duration_ns: int
    trace_id: str


class Sample(NamedTuple):
    """Spans of one entity that ended in one interval.

    Attributes:
        entity: whose.
        end: Unix seconds of the interval's end.
        events: how many spans.
        parts: of each feature of the monitor, in their order.
        examples: a few of the spans.
    """

    entity: EntityKey
    end: int
    events: int
    parts: tuple[Part, ...]
    examples: tuple[Example, ...] = ()


class WatchedPoint(NamedTuple):
    """A metric point that a feature selects.

    Attributes:
        entity: whose.
        feature: its number in the monitor.
        kind: of the metric.
        point: with the identity of its stream; of a gauge `value` is as sent, of a counter in 2^-20, of a
            histogram its count.
        bins: of a histogram.
    """

    entity: EntityKey
    feature: int
    kind: Literal["gauge", "counter", "histogram"]
    point: Point
    bins: Mapping[int, float] | None = None


@dataclass(frozen=True, slots=True)
class Sampled:
    """What one batch of arrivals holds for one shard of anomalies; empty for a mere tick of the clock.

    Attributes:
        shard: the shard's key, see `slo.plan.anomaly_shard_of`.
        clock: Unix seconds at which this arrived; live the wall clock, in a backtest the events'.
        live: False while what is read was read before a restart already.
        exact: time is that of the events (a backtest): it has no gaps.
        samples: of spans.
        points: of metrics.
        watermarks: newest arrival of (traces, metrics), Unix seconds, 0 for none yet.
        ahead_ns: how far the clock is ahead of the points' own; the samples' times allow for it.
        origin: the part of the input that it comes from.
    """

    shard: str
    clock: float
    live: bool = True
    exact: bool = False
    samples: tuple[Sample, ...] = ()
    points: tuple[WatchedPoint, ...] = ()
    watermarks: tuple[float, float] = (0.0, 0.0)
    ahead_ns: int = 0
    origin: Origin = WHOLE
