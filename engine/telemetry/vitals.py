"""How the engine is, as its metrics and its log show it: reading, spool, disk, series."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from engine.sinks.board import Board
from engine.spool.clock import Clock
from engine.spool.spool import Spool
from engine.telemetry.attention import Attention, Look, Reading
from engine.telemetry.metrics import EngineMetrics


class ReadingSource(Protocol):
    """A flow's source, of the spool or of Kafka."""

    @property
    def partition(self) -> Reading | None:
        """What reads, once it does."""


class Vitals:
    """Shows on `/metrics`, and says in the log, how one engine is.

    Args:
        metrics: the engine's own.
        board: what is decided.
        data_dir: whose disk is watched.
        clock: Unix seconds that decisions have come to, 0 before the first.

    Attributes:
        source: what reads the input, once there is a flow.
    """

    def __init__(
        self, metrics: EngineMetrics, board: Board, data_dir: Path, clock: Callable[[], float]
    ) -> None:
        self.source: ReadingSource | None = None
        self._metrics = metrics
        self._board = board
        self._clock = clock
        self._spool: Spool | None = None
        self._engine_clock: Clock | None = None
        self._attention = Attention(self.look, time.time())
        metrics.watch_reading(self._unread, self._replaying, self._series)
        metrics.watch_disk(data_dir)

    def start(self, spool: Spool | None, clock: Clock | None = None) -> None:
        """Watch a spool, where this process has one, and everything else.

        Args:
            spool: of this process.
            clock: the engine's, where it is not the spool's.
        """
        self._spool = spool
        self._engine_clock = spool.clock if spool is not None else clock
        if spool is not None:
            spool.on_commit = self._committed
        self._attention.start()

    def stop(self) -> None:
        """Say no more in the log."""
        self._attention.stop()

    def look(self) -> Look:
        """What there is to see now."""
        clock = self._clock()
        spool = self._spool
        return Look(
            reading=self._reading(),
            lag=self.now() - clock if clock else 0.0,
            stored=spool.depth().bytes if spool else 0,
            limit=spool.max_bytes if spool else 0,
        )

    def now(self) -> float:
        """Unix seconds by the engine's clock."""
        clock = self._engine_clock
        return clock.read().now_ns / 1e9 if clock is not None else time.time()

    def read_to(self) -> float:
        """Unix seconds up to which the input is read; 0 before that begins."""
        reading = self._reading()
        return reading.position.clock if reading else 0.0

    def _reading(self) -> Reading | None:
        return self.source.partition if self.source else None

    def _unread(self) -> float:
        reading = self._reading()
        return reading.unread_seconds() if reading else 0.0

    def _replaying(self) -> bool:
        reading = self._reading()
        return reading is not None and reading.replaying()

    def _series(self) -> int:
        return sum(len(decision.series) for decision in self._board.snapshot().decisions)

    def _committed(self, seconds: float, payloads: int) -> None:
        if payloads:  # others only delete
            self._metrics.commit_seconds.observe(seconds)
            self._metrics.commit_payloads.inc(payloads)
