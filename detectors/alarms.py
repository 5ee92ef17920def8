"""Which rarities are alarms, as many as the user accepts: a part of the default detector."""

import math

import numpy as np
from river import base

from detectors import _kernel
from detectors.episodes import Step
from detectors.timed import check_every
from detectors.verdict import Floats

_EVERY = 60.0


def check_false_alarms(false_alarms: float) -> None:
    """Refuse a rate of false alarms that is none.

    Raises:
        ValueError: with what to give instead.
    """
    if not 0 <= false_alarms < math.inf:
        raise ValueError(
            f"`false_alarms` must be how many a second are accepted, 0 or more, not {false_alarms}"
        )


class Alarms(base.Estimator):
    """From the rarity of single readings to alarms, held to a budget.

    How often the series' own episodes came to a rarity says how often alarms would: their peaks are counted,
    with a prior for what no peak has come to. An alarm begins where that is less often than was asked, and
    ends after up to six readings that are ordinary by an e-fold. Each alarm that was no clear incident raises
    the bar a little, and quiet time lowers it. The first thirty readings raise none.

    `detectors.episodes` and the budget of `Calibrated` do the same for probabilities of any detector; here
    the level is found by the rarities' own record, so that it needs no probability that is right.

    Parameters
    ----------
    false_alarms
        Alarms that are accepted a second, in ordinary times. One a week by default.
    every
        Seconds from one reading to the next; learned where it is not given.

    Attributes
    ----------
    open : bool
        There is an alarm.
    probability : float
        Of an episode as rare as the last reading beginning at a reading.

    Examples
    --------
    >>> import random
    >>> from detectors.alarms import Alarms

    >>> rng = random.Random(1)
    >>> alarms = Alarms(false_alarms=1 / 604_800)
    >>> {alarms.learn_one(rng.expovariate(1), at=60 * minute) for minute in range(3_000)}
    {''}
    >>> alarms.learn_one(25.0, at=180_000), alarms.learn_one(1.0, at=180_060)
    ('start', 'continue')

    References
    ----------
    [^1]: Coles, S., 2001. An introduction to statistical modeling of extreme values, chapters 4 and 5.
    [^2]: Gibbs, I. and Candès, E., 2021. Adaptive conformal inference under distribution shift. NeurIPS.

    """

    def __init__(self, false_alarms: float = 1 / 604_800, every: float | None = None) -> None:
        check_false_alarms(false_alarms)
        check_every(every)
        self.false_alarms = false_alarms
        self.every = every
        self.probability = 1.0
        self._next = 0.0
        self._row: Floats = np.zeros(_kernel.SIZE)

    @property
    def open(self) -> bool:
        """There is an alarm."""
        return bool(self._row[_kernel.ACTIVE] > 0)

    def learn_one(self, rarity: float, at: float = math.nan) -> Step:
        """Take a reading's rarity and say what it does.

        Args:
            rarity: `-ln` of the share of readings that are as strange; NaN where there is none.
            at: Unix seconds of the reading; without it, it is one step after the last.
        """
        at = self._next if math.isnan(at) else float(at)
        if math.isfinite(at):
            self._next = at + (self.every or _EVERY)
        was = self.open
        found = _kernel.alarms_step(
            self._row, at, float(rarity), self.every or 0.0, self.false_alarms
        )
        self.probability = 1.0 if math.isnan(found) else float(found)
        if self.open:
            return "continue" if was else "start"
        return "end" if was else ""
