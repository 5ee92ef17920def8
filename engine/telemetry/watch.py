"""What the flow tells of itself, batch by batch: how long its stages took, what it read, its snapshots.

Steps and sink call a `Watch`; the one of a backtest ignores them. Times are of `time.perf_counter_ns`.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from engine.columns.measure import Measured
from engine.spool.arrivals import Arrivals
from engine.telemetry import tracing
from engine.telemetry._batch_trace import STAGES, BatchTrace, Stage
from engine.telemetry.log import log
from engine.telemetry.metrics import EngineMetrics
from slo.anomalies.decision import AnomalyDecision
from slo.anomalies.messages import Readings
from slo.decision import Decision

# The flow stands still while it pickles; pages wait for so long.
SLOW_SNAPSHOT_SECONDS = 1.0
# A failure that comes back is logged so often.
QUIET_SECONDS = 300.0


class Watch:
    """Ignores what it is told: for flows that nobody watches."""

    def arrived(self, arrivals: Arrivals, began: int) -> None:
        """A batch is about to be measured."""

    def measured(self, found: Measured) -> None:
        """What it held."""

    def spent(self, stage: Stage, clock: float, began: int) -> None:
        """A stage has worked since, on what came up to a clock (Unix seconds)."""

    def gathered(self, began: int) -> None:
        """Readings were gathered since; that is beside the way to a decision."""

    def counted(self, began: int) -> None:
        """What model calls used was added up since; likewise."""

    def unjudged(self, reason: str, events: int) -> None:
        """So many events that are watched for anomalies came to no reading."""

    def saved(self, step: str, owner: int, began: int, size: int) -> None:
        """A step pickled, since then, so many bytes; `owner` is the same for each of its snapshots."""

    def published(self, decisions: Sequence[Decision], began: int) -> None:
        """These decisions were published since."""

    def judged(self, decisions: Sequence[AnomalyDecision], began: int) -> None:
        """These decisions on anomalies were published since."""

    def undetected(self, readings: Readings, failure: Exception) -> None:
        """Readings could not be judged, by a mistake in Burnline.

        Raises:
            Exception: the failure, where nobody watches.
        """
        del readings
        raise failure


class LiveWatch(Watch):
    """Keeps metrics, makes spans, and says where snapshots have become slow.

    Args:
        metrics: the engine's own.
        now: Unix seconds by the clock that stamps what is received.
    """

    def __init__(self, metrics: EngineMetrics, now: Callable[[], float] = time.time) -> None:
        self._metrics = metrics
        self._now = now
        self._seconds = {stage: metrics.flow_seconds.labels(stage) for stage in STAGES}
        self._gathering = metrics.flow_seconds.labels("readings")
        self._counting = metrics.flow_seconds.labels("usage")
        self._batch = BatchTrace(now)
        self._lock = threading.Lock()
        self._snapshot = _Snapshot()
        self._slow = False
        self._complained = -QUIET_SECONDS

    def arrived(self, arrivals: Arrivals, began: int) -> None:
        """See `Watch`."""
        self._batch.arrived(arrivals, began)

    def measured(self, found: Measured) -> None:
        """See `Watch`."""
        for signal, count in (("traces", found.spans), ("metrics", found.points)):
            if count:
                self._metrics.measured_items.labels(signal).inc(count)
        if found.skewed:
            self._metrics.skewed_events.inc(found.skewed)
        for (signal, age), count in found.late.items():
            self._metrics.late_events.labels(signal, age).inc(count)
        self._batch.measured(found)

    def spent(self, stage: Stage, clock: float, began: int) -> None:
        """See `Watch`."""
        ended = time.perf_counter_ns()
        self._seconds[stage].inc((ended - began) / 1e9)
        self._batch.spent(stage, clock, began, ended)

    def gathered(self, began: int) -> None:
        """See `Watch`."""
        self._gathering.inc((time.perf_counter_ns() - began) / 1e9)

    def counted(self, began: int) -> None:
        """See `Watch`."""
        self._counting.inc((time.perf_counter_ns() - began) / 1e9)

    def unjudged(self, reason: str, events: int) -> None:
        """See `Watch`."""
        self._metrics.unjudged.labels(reason).inc(events)

    def saved(self, step: str, owner: int, began: int, size: int) -> None:
        """See `Watch`; a step that saves once more begins the next snapshot."""
        ended = time.perf_counter_ns()
        self._metrics.snapshot_step_bytes.labels(step).inc(size)
        self._metrics.snapshot_timestamp.set(time.time())
        with self._lock:
            whole = None
            if owner in self._snapshot.owners:
                whole, self._snapshot = self._snapshot, _Snapshot()
            self._snapshot.add(owner, began, ended, size)
        if whole is not None:
            self._tell(whole)

    def published(self, decisions: Sequence[Decision], began: int) -> None:
        """See `Watch`."""
        now = self._now()
        clocks = {d.clock for d in decisions if d.live}
        # A decision at the very time of the newest arrival was caused by it; else by the clock.
        for received in {d.clock for d in decisions if d.live and d.clock == d.watermark}:
            self._metrics.decision_seconds.observe(max(0.0, now - received))
        newest = max((d.clock for d in decisions), default=0.0)
        self.spent("publish", newest, began)
        if clocks:
            self._batch.published(max(clocks))

    def judged(self, decisions: Sequence[AnomalyDecision], began: int) -> None:
        """See `Watch`."""
        found = sum(int(np.isfinite(d.values).sum()) for d in decisions if not d.frozen)
        self._metrics.judged_readings.inc(found)
        self.spent("publish", max((d.clock for d in decisions), default=0.0), began)

    def undetected(self, readings: Readings, failure: Exception) -> None:
        """See `Watch`; told in the log now and then, as it may come back with each interval."""
        self._metrics.undetected.inc()
        now = time.monotonic()
        if now - self._complained >= QUIET_SECONDS:
            self._complained = now
            log.error(
                "readings are not judged because of a mistake in Burnline; please report it; SLOs are "
                "not touched by it",
                shard=readings.shard,
                every=readings.every,
                exc_info=failure,
            )

    def _tell(self, whole: "_Snapshot") -> None:
        seconds = whole.busy / 1e9
        self._metrics.snapshot_seconds.observe(seconds)
        self._metrics.snapshot_bytes.set(whole.size)
        offset = time.time_ns() - time.perf_counter_ns()
        tracing.record(
            "snapshot",
            whole.began + offset,
            whole.ended + offset,
            bytes=whole.size,
            parts=len(whole.owners),
            busy_seconds=seconds,
        )
        slow = seconds > (SLOW_SNAPSHOT_SECONDS / 2 if self._slow else SLOW_SNAPSHOT_SECONDS)
        if slow and not self._slow:
            log.warning(
                "snapshots are slow, and the flow stands still for them; fewer series or a longer "
                "--snapshot-interval help",
                seconds=round(seconds, 2),
                bytes=whole.size,
            )
        elif self._slow and not slow:
            log.info("snapshots are quick again", seconds=round(seconds, 2))
        self._slow = slow


@dataclass(slots=True)
class _Snapshot:
    """The steps that have pickled for one epoch."""

    owners: set[int] = field(default_factory=set)
    began: int = 0
    ended: int = 0
    busy: int = 0
    size: int = 0

    def add(self, owner: int, began: int, ended: int, size: int) -> None:
        self.began = self.began or began
        self.owners.add(owner)
        self.ended = ended
        self.busy += ended - began
        self.size += size
