"""The clock by which the engine decides: the wall clock, as far as it can be believed.

A wall clock is set, now and then by hours and by mistake. Moved forward with it, windows would be
emptied for good and alerts end; moved back, new events would be too old for every window. So each
reading is held against a steady clock, which nobody sets and which counts sleep too:

* A step of up to `FOLLOWED_NS` is followed.
* A larger one is doubted: for a while time goes on at the steady clock's pace. What arrives
  meanwhile may be ahead by as much as the wall clock is, and counts as having just arrived.
* A step that stays is believed, one back after `BACK_NS`, one forward, which costs history, after
  `FORWARD_NS`.
* The engine's time never goes back. After a step back that is believed it is *ahead* of the wall
  clock. Events are placed by as much later, so that windows go on filling; and it runs at half
  pace until the wall clock has caught up.
"""

import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from engine.telemetry.log import log

SECOND_NS = 1_000_000_000
FOLLOWED_NS = 5 * SECOND_NS
BACK_NS = 30 * SECOND_NS
FORWARD_NS = 300 * SECOND_NS


class Moment(NamedTuple):
    """A reading; nanoseconds.

    Attributes:
        now_ns: Unix time of the engine, never descending.
        ahead_ns: how far that is ahead of what is believed of the wall clock; 0 nearly always.
        doubt_ns: how far the wall clock is ahead of what is believed of it; 0 nearly always.
    """

    now_ns: int
    ahead_ns: int = 0
    doubt_ns: int = 0


class _Doubt(NamedTuple):
    offset_ns: int
    since_ns: int


def _steady_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Clock:
    """The engine's clock; may be read from any thread.

    Args:
        wall: Unix nanoseconds, as they are set.
        steady: nanoseconds since any moment, that go on evenly, also while the machine sleeps.
        not_before_ns: the newest moment that this engine has ever told, from before a restart.
        on_step: told the seconds of each step that is doubted.
    """

    def __init__(
        self,
        wall: Callable[[], int] = time.time_ns,
        steady: Callable[[], int] = _steady_ns,
        not_before_ns: int = 0,
        on_step: Callable[[float], None] = lambda _seconds: None,
    ) -> None:
        self._wall = wall
        self._steady = steady
        self.on_step = on_step
        self._lock = threading.Lock()
        self._passed_to = steady()
        self._believed = wall()
        self._now = self._believed
        self._doubt: _Doubt | None = None
        self.not_before(not_before_ns)

    def not_before(self, moment_ns: int) -> None:
        """Never tell an earlier moment from now on: what a spool holds was told before."""
        with self._lock:
            ahead = moment_ns - self._now
            self._now = max(self._now, moment_ns)
        if ahead > FOLLOWED_NS:
            log.warning(
                "the clock is behind what was received before: it was set back, or was ahead then; "
                "events are placed by as much later, and the engine's time goes at half pace until "
                "the clock has caught up",
                behind_seconds=round(ahead / 1e9, 3),
            )

    def read(self) -> Moment:
        """The moment now."""
        with self._lock:
            steady, wall = self._steady(), self._wall()
            passed = max(0, steady - self._passed_to)
            self._passed_to = max(self._passed_to, steady)
            ahead = self._now > self._believed
            self._believed += passed
            self._judge(wall, steady)
            if ahead:
                self._now += passed // 2
            self._now = max(self._now, self._believed)
            doubt = max(0, wall - self._believed) if self._doubt else 0
            return Moment(self._now, self._now - self._believed, doubt)

    def _judge(self, wall: int, steady: int) -> None:
        """Believe the wall clock, or doubt it."""
        offset = wall - self._believed
        if abs(offset) <= FOLLOWED_NS:
            if self._doubt:
                log.info("the clock is right again", was_off_seconds=self._doubt.offset_ns / 1e9)
            self._believed, self._doubt = wall, None
        elif self._doubt is None or abs(offset - self._doubt.offset_ns) > FOLLOWED_NS:
            self._doubt = _Doubt(offset, steady)
            log.warning(
                "the clock was stepped; it is not believed unless that stays",
                seconds=round(offset / 1e9, 3),
                believed_after=(BACK_NS if offset < 0 else FORWARD_NS) / 1e9,
            )
            self.on_step(offset / 1e9)
        elif steady - self._doubt.since_ns >= (BACK_NS if offset < 0 else FORWARD_NS):
            log.warning("the clock's step is believed now", seconds=round(offset / 1e9, 3))
            self._believed, self._doubt = wall, None
