"""Says in the log what has changed about the engine as a whole: once per change, not per event.

A thread looks once a second; nothing on the way of the data writes a line.
"""

import sqlite3
import threading
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

from engine.spool.spool import SIGNALS
from engine.telemetry.log import log

EVERY_SECONDS = 1.0


class ReadTo(Protocol):
    """How far the flow's input is read."""

    @property
    def clock(self) -> float:
        """Unix seconds."""

    @property
    def watermarks(self) -> tuple[float, float]:
        """Newest arrival of (traces, metrics)."""


class Reading(Protocol):
    """What reads the flow's input: the spool, or Kafka."""

    @property
    def position(self) -> ReadTo:
        """How far it is."""

    @property
    def replay_until(self) -> int:
        """The number of the last payload that was there before the start."""

    @property
    def resumed_after(self) -> int:
        """The number of the last payload that was not read again."""

    def replaying(self) -> bool:
        """Whether what is read was there before the start."""

    def unread_seconds(self) -> float:
        """How long ago the oldest unread payload came, at most; 0 where all are read."""

    def read_all_for(self, seconds: float) -> bool:
        """Whether there has been nothing to read for so long."""


class Look(NamedTuple):
    """What is seen at one moment.

    Attributes:
        reading: what reads the input, where something does.
        lag: seconds that decisions are behind the wall clock.
        stored: bytes in the spool.
        limit: bytes that it may hold; 0 where there is no spool.
    """

    reading: Reading | None
    lag: float
    stored: int = 0
    limit: int = 0


class Threshold:
    """Tells when a value has risen to a bound, and when it is well below again.

    >>> spool = Threshold(0.8, 0.7)
    >>> [spool.crossed(share) for share in (0.5, 0.81, 0.9, 0.75, 0.6, 0.6)]
    [None, True, None, None, False, None]
    """

    def __init__(self, high: float, low: float) -> None:
        self.high = high
        self.low = low
        self.above = False

    def crossed(self, value: float) -> bool | None:
        """True where it has just risen, False where it has just fallen, None in between."""
        if not self.above and value >= self.high:
            self.above = True
            return True
        if self.above and value < self.low:
            self.above = False
            return False
        return None


class Attention:
    """Looks, and logs what changed.

    Args:
        look: what there is to see now.
        since: Unix seconds of the engine's start.
    """

    def __init__(self, look: Callable[[], Look], since: float) -> None:
        self._look = look
        self._since = since
        self._reading: Reading | None = None
        self._replay_since: float | None = None
        self._heard: set[str] = set()
        self._lag = Threshold(10.0, 5.0)
        self._spool = Threshold(0.8, 0.7)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="burnline-attention", daemon=True)

    def start(self) -> None:
        """Look from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def check(self) -> None:
        """Look once."""
        try:
            seen = self._look()
        except sqlite3.Error:
            return  # the spool says itself that it can't be read
        if seen.reading is not None:
            self._replay(seen.reading)
            self._arrivals(seen.reading)
        if self._replay_since is None:
            self._behind(seen.lag)
        if seen.limit:
            self._depth(seen.stored, seen.limit)

    def _run(self) -> None:
        while not self._over.wait(EVERY_SECONDS):
            self.check()

    def _replay(self, reading: Reading) -> None:
        payloads = reading.replay_until - reading.resumed_after
        if reading is not self._reading:
            self._reading = reading
            if payloads > 0:
                self._replay_since = time.monotonic()
                log.info(
                    "reading again what came since the last snapshot; nothing is sent meanwhile",
                    payloads=payloads,
                )
        if self._replay_since is not None and not reading.replaying():
            seconds = time.monotonic() - self._replay_since
            self._replay_since = None
            log.info("read again; live from here on", payloads=payloads, seconds=round(seconds, 1))

    def _arrivals(self, reading: Reading) -> None:
        for signal, newest in zip(SIGNALS, reading.position.watermarks, strict=True):
            if newest >= self._since and signal not in self._heard:
                self._heard.add(signal)
                log.info("the first payload has come", signal=signal)

    def _behind(self, lag: float) -> None:
        crossed = self._lag.crossed(lag)
        if crossed:
            log.warning("the flow falls behind; decisions are late", lag_seconds=round(lag, 1))
        elif crossed is False:
            log.info("the flow has caught up", lag_seconds=round(lag, 1))

    def _depth(self, stored: int, limit: int) -> None:
        crossed = self._spool.crossed(stored / limit)
        if crossed:
            log.warning(
                "the spool is nearly full; when it is, senders are told to wait",
                bytes=stored,
                limit=limit,
            )
        elif crossed is False:
            log.info("the spool has room again", bytes=stored, limit=limit)
