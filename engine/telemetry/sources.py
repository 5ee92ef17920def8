"""Which sources are heard, traces and metrics, as far as an SLO reads them: for `/metrics` and the log."""

import threading
from collections.abc import Callable, Mapping

from engine.telemetry.log import log
from engine.telemetry.metrics import EngineMetrics
from slo.decision import Decision
from slo.model import Objective, Signal
from slo.rendering import span

SIGNALS: tuple[Signal, ...] = ("traces", "metrics")


class Sources:
    """Follows decisions; may be told from any thread.

    Args:
        metrics: where it shows.
        objectives: what is decided on, by id; asked anew, as a reload changes it.
        stale_after: seconds without arrivals after which a source is silent and its alerts freeze.
    """

    def __init__(
        self,
        metrics: EngineMetrics,
        objectives: Callable[[], Mapping[str, Objective]],
        stale_after: float,
    ) -> None:
        self._metrics = metrics
        self._objectives = objectives
        self._stale_after = stale_after
        self._lock = threading.Lock()
        self._began: float | None = None
        self._clock = 0.0
        self._arrived: dict[Signal, float] = dict.fromkeys(SIGNALS, 0.0)
        self._told: set[Signal] = set()

    def take(self, decision: Decision) -> None:
        """Note what a decision knows of arrivals."""
        if not decision.live:
            return
        with self._lock:
            arrived = {
                signal: max(self._arrived[signal], mark)
                for signal, mark in zip(SIGNALS, decision.watermarks, strict=True)
            }
            # All shards decide at about the same clock: one of them is enough.
            if int(decision.clock) <= int(self._clock) and arrived == self._arrived:
                return
            self._began = decision.clock if self._began is None else self._began
            self._clock = max(self._clock, decision.clock)
            before, self._arrived = self._arrived, arrived
            read = {objective.signal for objective in self._objectives().values()}
            for signal in SIGNALS:
                if signal in read:
                    self._show(signal)
                    self._tell(signal, before[signal], self._began)

    def _show(self, signal: Signal) -> None:
        mark = self._arrived[signal]
        self._metrics.source_arrival.labels(signal).set(mark)
        self._metrics.source_silent.labels(signal).set(self._clock - mark > self._stale_after)

    def _tell(self, signal: Signal, before: float, began: float) -> None:
        mark = self._arrived[signal]
        # After a start a source has as long to be heard again.
        silent = self._clock - max(mark, began) > self._stale_after
        if silent and signal not in self._told:
            self._told.add(signal)
            log.warning(
                "a source is silent: until it is heard again its alerts neither fire nor end",
                signal=signal,
                last_arrival=f"{span(self._clock - mark)} ago" if mark else "never",
            )
        elif not silent and signal in self._told:
            self._told.remove(signal)
            log.info(
                "a source is heard again", signal=signal, silent_for=span(mark - (before or began))
            )
