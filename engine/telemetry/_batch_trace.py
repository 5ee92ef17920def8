"""The span of a batch of the flow, put together from what its stages tell."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from opentelemetry.trace import Span

from engine.columns.measure import Measured
from engine.spool.arrivals import Arrivals
from engine.telemetry import tracing

Stage = Literal["measure", "intake", "windows", "decide", "publish", "detect"]
STAGES: tuple[Stage, ...] = ("measure", "intake", "windows", "decide", "publish", "detect")


@dataclass(slots=True)
class _Batch:
    """A sampled batch: its span, and (first begin, last end, time worked) of each stage."""

    span: Span
    clock: float
    offset: int
    stages: dict[Stage, tuple[int, int, int]] = field(default_factory=dict)
    published: bool = False


class BatchTrace:
    """The span of a batch of the flow, with one below it for each stage; one batch at a time.

    A batch is over when something of its clock or later was published and the next one arrives: at
    the latest with the next tick.

    Args:
        now: Unix seconds by the clock that stamps what is received.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._open: _Batch | None = None

    def arrived(self, arrivals: Arrivals, began: int) -> None:
        """A batch is about to be measured."""
        if not tracing.enabled():
            return
        with self._lock:
            if self._open is not None and self._open.published:
                _finish(self._open)
                self._open = None
            if self._open is not None or not arrivals.live:
                return
            bodies = (*arrivals.traces, *arrivals.metrics)
            if bodies:
                offset = time.time_ns() - time.perf_counter_ns()
                span = tracing.opened(
                    "flow",
                    began + offset,
                    payloads=len(bodies),
                    bytes=sum(map(len, bodies)),
                    waited_seconds=max(0.0, self._now() - arrivals.clock),
                )
                self._open = None if span is None else _Batch(span, arrivals.clock, offset)

    def measured(self, found: Measured) -> None:
        """What the batch that arrived last held."""
        if self._open is None:
            return
        with self._lock:
            if self._open is not None and not self._open.stages:
                for name, value in (("spans", found.spans), ("points", found.points)):
                    self._open.span.set_attribute(f"burnline.{name}", value)

    def spent(self, stage: Stage, clock: float, began: int, ended: int) -> None:
        """A stage has worked on what came up to a clock (Unix seconds)."""
        if self._open is None:
            return
        with self._lock:
            batch = self._open
            # What waits for a step is taken together, at the newest clock; measured it is by itself.
            mine = batch and (clock == batch.clock or (stage != "measure" and clock > batch.clock))
            if batch and mine:
                first, _, worked = batch.stages.get(stage, (began, ended, 0))
                batch.stages[stage] = (first, ended, worked + ended - began)

    def published(self, clock: float) -> None:
        """Decisions up to a clock are published."""
        if self._open is None:
            return
        with self._lock:
            if self._open is not None and clock >= self._open.clock:
                self._open.published = True


def _finish(batch: _Batch) -> None:
    end = 0
    for stage, (first, last, worked) in batch.stages.items():
        tracing.record(
            stage,
            first + batch.offset,
            last + batch.offset,
            batch.span,
            busy_seconds=worked / 1e9,
        )
        end = max(end, last + batch.offset)
    batch.span.end(end)
