"""Traffic that has stopped: intervals without any event where some were to be expected.

A detector sees each interval by itself, and one without events is nothing special where there are three a
minute. Ten of them in a row are.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from detectors import Verdicts

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

HOURS = 7 * 24
# Traffic comes and goes: so much of what was usual is expected, or of what was a moment ago where nothing is.
SHARE, YOUNG_SHARE = 0.5, 0.25
TRAILING = 1 / 30  # the share that an interval has in what was a moment ago
LEARNING = 30.0


@dataclass(slots=True)
class Silence:
    """What each row's hours of the week usually have, and how much is missing while there is nothing.

    Events that come independently (Poisson) stay away for as long as `m` are expected with probability
    `exp(-m)`. Expected is half of the least that this hour and its neighbours had in other weeks; in the
    first week half of the least that this hour had on other days; on the first day a quarter of what came
    just before the silence.

    >>> silence = Silence()
    >>> silence.grow(1)
    >>> for minute in range(120):
    ...     _ = silence.observe(60.0 * minute, np.array([4.0]))
    >>> [silence.observe(60.0 * (120 + n), np.zeros(1)).round(1).item() for n in range(3)]
    [1.0, 2.0, 3.0]
    """

    usual: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, HOURS), np.float32))
    weeks: NDArray[np.int8] = field(default_factory=lambda: np.zeros((0, HOURS), np.int8))
    # Of the hour that goes on: which it is, its events and intervals.
    hour: int = -1
    events: Floats = field(default_factory=lambda: np.zeros(0))
    intervals: Floats = field(default_factory=lambda: np.zeros(0))
    # What came lately, and what had come when the last event did.
    trailing: Floats = field(default_factory=lambda: np.zeros(0))
    before: Floats = field(default_factory=lambda: np.zeros(0))
    readings: Floats = field(default_factory=lambda: np.zeros(0))
    missed: Floats = field(default_factory=lambda: np.zeros(0))

    def grow(self, rows: int) -> None:
        """Have at least so many rows."""
        more = max(0, rows - len(self.missed))
        self.usual = np.pad(self.usual, ((0, more), (0, 0)))
        self.weeks = np.pad(self.weeks, ((0, more), (0, 0)))
        self.events = np.pad(self.events, (0, more))
        self.intervals = np.pad(self.intervals, (0, more))
        self.trailing = np.pad(self.trailing, (0, more))
        self.before = np.pad(self.before, (0, more))
        self.readings = np.pad(self.readings, (0, more))
        self.missed = np.pad(self.missed, (0, more))

    def reset(self, row: int) -> None:
        """Forget a row."""
        self.usual[row] = 0.0
        self.weeks[row] = 0
        for part in (self.events, self.intervals, self.readings, self.missed):
            part[row] = 0.0
        self.trailing[row] = self.before[row] = 0.0

    def expected(self, at: float) -> Floats:
        """Events that an interval which ends now is expected to have at least, `float64[rows]`."""
        hour = _hour(at)
        before = self.weeks[:, hour] > 0
        week, _ = self._least([(hour - 1) % HOURS, hour, (hour + 1) % HOURS])
        day, known = self._least([(hour + 24 * days) % HOURS for days in range(1, 7)])
        young = np.where(known, SHARE * day, YOUNG_SHARE * self.before)
        found = np.where(before, SHARE * week, young)
        return np.where(self.readings < LEARNING, 0.0, found)

    def observe(self, at: float, events: Floats) -> Floats:
        """How many events are missing in the silence so far, `float64[rows]`; 0 where there is none.

        Args:
            at: Unix seconds at which the interval ended.
            events: `float64[rows]`, of the interval.
        """
        hour = _hour(at)
        if hour != self.hour:
            self._close()
            self.hour = hour
        silent = events == 0
        self.missed = np.where(silent, self.missed + self.expected(at), 0.0)
        self.events += events
        self.intervals += 1
        self.readings += 1
        pace = np.maximum(TRAILING, 1 / np.maximum(self.readings, 1))
        self.trailing += pace * (events - self.trailing)
        self.before = np.where(silent, self.before, self.trailing)
        return self.missed

    def _close(self) -> None:
        """Keep what the hour had."""
        had = self.intervals > 0
        mean = (self.events[had] / self.intervals[had]).astype(np.float32)
        old = self.usual[had, self.hour]
        known = self.weeks[had, self.hour] > 0
        self.usual[had, self.hour] = np.where(known, (old + mean) / 2, mean)
        self.weeks[had, self.hour] = np.minimum(self.weeks[had, self.hour], 100) + 1
        self.events[:] = 0
        self.intervals[:] = 0

    def _least(self, hours: list[int]) -> tuple[Floats, Mask]:
        """The least that some of the week's hours have, and whether any is known."""
        seen = self.weeks[:, hours] > 0
        known: Mask = np.any(seen, axis=1)
        least = np.where(seen, self.usual[:, hours], np.inf).min(axis=1)
        return np.where(known, least, 0.0).astype(np.float64), known


def told(
    verdicts: Verdicts, missed: Floats, expected: Floats, one: Floats, chance: float, every: float
) -> Verdicts:
    """Verdicts that know of the silences.

    Args:
        verdicts: of the bank, one a row.
        missed: events that are missing.
        expected: events that each interval was expected to have at least.
        one: what a single event makes of a reading; 0 for rows that are no rate of events.
        chance: share of ordinary readings that may begin an alarm.
        every: seconds of an interval.
    """
    gone = (one > 0) & (missed > -np.log(chance))
    if not gone.any():
        return verdicts
    # As the default detector scores: rarity a minute, a tenth of it above the knee.
    rare = missed + np.log(every / 60)
    knee = np.maximum(np.where(rare < 8.5, rare, 8.5 + 0.1 * (rare - 8.5)), 0.0)
    score, probability = knee / (knee + 10), np.exp(-missed)
    return replace(
        verdicts,
        score=np.where(gone, np.maximum(verdicts.score, score), verdicts.score),
        probability=np.where(
            gone, np.minimum(verdicts.probability, probability), verdicts.probability
        ),
        expected=np.where(gone, expected * one, verdicts.expected),
        lower=np.where(gone, np.minimum(expected, 1.0) * one, verdicts.lower),
        upper=np.where(gone, np.fmax(verdicts.upper, expected * one), verdicts.upper),
        alert=verdicts.alert | gone,
    )


def _hour(at: float) -> int:
    """The hour of the week in which an interval that ends now began."""
    return int((at - 1) // 3600) % HOURS
