"""The alarms that a user accepts, spent by the alarms there are."""

import math

from detectors.episodes import Episodes, Step

_MOST_SHARE = 0.1
# In logarithms of probability, what an alarm costs and time gives back; more, the more were too many.
_COST = 0.5
_LEAST_ALLOWED, _MOST_ALLOWED = -30.0, 1.5


class Budget:
    """Which of a series' probabilities are alarms, and how many those may be.

    An alarm begins where a probability falls below the share of readings that may begin one. What is allowed
    moves with what there was: each alarm makes the next one harder, time makes it easier again. In the
    long run there are as many as asked for, also where probabilities are not quite what they say.

    Args:
        every: seconds from one reading to the next.
        false_alarms: accepted a second. At most one reading in ten begins an alarm.

    >>> budget = Budget(every=60, false_alarms=1 / 604_800)
    >>> [budget.take(p) for p in (0.5, 1e-6, 0.5)]
    ['', 'start', 'continue']
    >>> budget.held_to(1e-6) > 1e-6
    True
    """

    def __init__(self, every: float, false_alarms: float) -> None:
        self.share = min(every * false_alarms, _MOST_SHARE)
        self._allowed = 0.0
        step = max(every, 1e-9)
        self.calm = int(min(max(600 / step, 3), 10))
        self._episodes = Episodes(
            begin=self.share,
            end=min(10 * self.share, _MOST_SHARE),
            calm=self.calm,
            cooldown=0,
            longest=int(min(max(86_400 / step, 50), 2_000)),
        )

    @property
    def open(self) -> bool:
        """An episode is going on."""
        return self._episodes.open

    @property
    def limit(self) -> float:
        """The probability below which an alarm would begin now, before `held_to`."""
        return self.share * math.exp(self._allowed)

    def held_to(self, probability: float) -> float:
        """A probability as the budget has it now."""
        if probability >= 1:
            return 1.0
        return min(1.0, probability * math.exp(-self._allowed))

    def take(self, probability: float) -> Step:
        """Take a reading's probability, NaN if there is none; say what it does to the episode."""
        step = self._episodes.learn_one(self.held_to(probability))
        if not math.isnan(probability):
            cost = _COST * (1 + max(0.0, -self._allowed))
            moved = self._allowed + cost * (self.share - (step == "start"))
            self._allowed = min(max(moved, _LEAST_ALLOWED), _MOST_ALLOWED)
        return step
