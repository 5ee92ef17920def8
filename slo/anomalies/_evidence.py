"""Readings that few events speak for: one failed call of one is no error ratio of 100 % worth waking for.

What is made of single events is not judged as it is, but as far as its events bear it out.
"""

from dataclasses import dataclass, field, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv

from detectors import Verdicts
from slo.evidence import evident

Floats = NDArray[np.float64]
Kinds = NDArray[np.int8]

# A mean or quantile of so many events is believed half; the rest is what is usual.
HALF = 10.0
# What an interval's events are worth an interval later: the usual is that of about a thousand intervals.
FADING = 0.999
# Shares are always asked for some evidence, however many false alarms are accepted.
MOST_CHANCE = 0.01


class Made(IntEnum):
    """What a reading is made of."""

    WHOLE = 0
    """A rate, a sum or a metric: as good as any, whatever the number of its events."""
    MEAN = 1
    """A mean or quantile of events."""
    SHARE = 2
    """A share of events that fail."""


@dataclass(slots=True)
class Usual:
    """What is usual for each row, weighted by events.

    A mean or quantile of `n` events is judged as `usual + (reading - usual) * n / (n + 10)`: shrunk, as by a
    prior worth ten events (Efron and Morris 1975, Data analysis using Stein's estimator and its
    generalizations). A share is judged by how far it is above the usual one, and only where that is evident,
    by the bound that SLOs are asked for (`slo.evidence`), at the chance of the accepted false alarms; else it
    is 0, and nothing is strange about it.

    >>> usual = Usual()
    >>> usual.grow(1)
    >>> made = np.array([Made.SHARE], np.int8)
    >>> for share, events in ((0.01, 1000.0), (1.0, 1.0), (0.5, 8.0)):
    ...     print(usual.judged(np.array([share]), np.array([events]), made, 1e-4).round(2))
    [0.]
    [0.]
    [0.49]
    """

    sums: Floats = field(default_factory=lambda: np.zeros(0))
    weights: Floats = field(default_factory=lambda: np.zeros(0))

    def grow(self, rows: int) -> None:
        """Have at least so many rows."""
        more = max(0, rows - len(self.sums))
        self.sums = np.pad(self.sums, (0, more))
        self.weights = np.pad(self.weights, (0, more))

    def reset(self, row: int) -> None:
        """Forget a row."""
        self.sums[row] = self.weights[row] = 0.0

    def judged(self, values: Floats, events: Floats, made: Kinds, chance: float) -> Floats:
        """Readings as they are to be judged; they are learned from.

        Args:
            values: `float64[rows]`; NaN where there is none.
            events: `float64[rows]`, that each is made of.
            made: `int8[rows]`, a `Made` each.
            chance: share of ordinary readings that may pass for evident.
        """
        there = np.isfinite(values)
        found = values.copy()
        means = there & (made == Made.MEAN)
        usual = self._mean(values)
        off = values[means] - usual[means]
        found[means] = usual[means] + off * _believed(events[means])
        shares = there & (made == Made.SHARE)
        found[shares] = self._excess(values[shares], events[shares], shares, chance)
        self._learn(values, events, means | shares)
        return found

    def told(
        self, verdicts: Verdicts, judged: Floats, events: Floats, made: Kinds, chance: float
    ) -> Verdicts:
        """Verdicts with what was expected of readings as they are.

        Args:
            verdicts: of what was judged, before which this was usual.
            judged: what was.
            events: as in `judged`.
            made: likewise.
            chance: likewise.
        """
        known = np.isfinite(verdicts.expected)
        means = known & (made == Made.MEAN) & (self.weights > 0)
        shares = known & (made == Made.SHARE)
        bounds = [part.copy() for part in (verdicts.lower, verdicts.expected, verdicts.upper)]
        usual = self._mean(np.zeros(len(made)))
        believed = _believed(np.maximum(events[means], 1.0))
        for part in bounds:
            wide = usual[means] + (part[means] - usual[means]) / believed
            part[means] = np.where(part[means] >= 0, np.maximum(wide, 0.0), wide)
        lower, expected, upper = bounds
        lower[shares] = 0.0
        expected[shares] = usual[shares]
        upper[shares] = _most(self._bound(shares), events[shares], chance)
        # What comes after a leap is strange for the series of leaps, but no leap itself.
        calm = (made == Made.SHARE) & (judged == 0)
        return replace(
            verdicts,
            score=np.where(calm, 0.0, verdicts.score),
            probability=np.where(calm, 1.0, verdicts.probability),
            lower=lower,
            expected=expected,
            upper=upper,
            alert=verdicts.alert & ~calm,
        )

    def _mean(self, values: Floats) -> Floats:
        """What is usual; of rows that have seen nothing, the values themselves."""
        known = self.weights > 0
        return np.where(known, self.sums / np.where(known, self.weights, 1.0), values)

    def _bound(self, rows: NDArray[np.bool_]) -> Floats:
        """A usual share that is not believed to be none, only because none of a few events failed."""
        found: Floats = (self.sums[rows] + 1.0) / (self.weights[rows] + 2.0)
        return found

    def _excess(
        self, shares: Floats, events: Floats, rows: NDArray[np.bool_], chance: float
    ) -> Floats:
        usual = self._bound(rows)
        total = events.astype(np.int64)
        bad = np.rint(shares * events).astype(np.int64)
        sure = np.full(len(shares), 1 - min(chance, MOST_CHANCE))
        return np.where(evident(bad, total, usual, sure), shares - usual, 0.0)

    def _learn(self, values: Floats, events: Floats, counted: NDArray[np.bool_]) -> None:
        # New arrays: a copy keeps what was usual before.
        self.weights = FADING * self.weights
        self.sums = FADING * self.sums
        self.weights[counted] += events[counted]
        self.sums[counted] += events[counted] * values[counted]


def _believed(events: Floats) -> Floats:
    return events / (events + HALF)


def _most(usual: Floats, events: Floats, chance: float) -> Floats:
    """The largest share that so many events of a usual share come to, but for that chance."""
    bad = usual * events
    found: Floats = betaincinv(bad + 0.5, events - bad + 0.5, 1 - min(chance, MOST_CHANCE))
    return found
