"""What the anomaly steps of the flow tell each other: samples in, readings at each interval's end."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


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
