"""When an alarm begins and ends: from the probabilities of single readings to episodes."""

import math
from typing import Literal

import numpy as np
from numba import njit
from river import base

from detectors.verdict import Floats

Step = Literal["", "start", "continue", "end"]
_STEPS: tuple[Step, ...] = ("", "start", "continue", "end")
_OPEN, _CALM, _LENGTH, _REST, _ABSORBED = range(5)
EPISODE = 5  # floats of an episode's state


@njit(cache=True)
def episode_step(
    state: Floats,
    probability: float,
    begin: float,
    end: float,
    calm: int,
    cooldown: int,
    longest: int,
) -> int:
    """0 for none, 1 where an episode starts, 2 while it goes on, 3 where it ends; see `Episodes`."""
    if probability >= end:
        state[_CALM] += 1
    elif not math.isnan(probability):
        state[_CALM] = 0
    quiet = state[_CALM] >= calm
    if state[_OPEN]:
        state[_LENGTH] += 1
        if not quiet and state[_LENGTH] < longest:
            return 2
        state[_OPEN], state[_REST], state[_ABSORBED] = 0, cooldown, not quiet
        return 3
    state[_REST] = max(state[_REST] - 1, -1)
    state[_ABSORBED] = state[_ABSORBED] and not quiet
    if state[_ABSORBED] or state[_REST] >= 0 or not probability < begin:
        return 0
    state[_OPEN], state[_LENGTH] = 1, 1
    return 1


class Episodes(base.Estimator):
    """Episodes in a stream of probabilities: one alarm for each, however long it is.

    An episode begins with a probability below `begin` and ends after `calm` readings in a row of `end` or
    more (hysteresis). Then it takes `cooldown` readings until another may begin. One that lasts longer than
    `longest` is no episode any more but how things are now: it ends, and another begins only after there
    was calm. So a shift of the level is reported once.

    Parameters
    ----------
    begin
        Probability below which an episode begins.
    end
        Probability that counts as calm, at least `begin`.
    calm
        Calm readings in a row that end an episode.
    cooldown
        Readings after an episode in which no other begins.
    longest
        Readings after which an episode ends in any case.

    Attributes
    ----------
    open : bool
        An episode is going on.
    count : int
        Episodes so far.
    length : int
        Readings of the last one so far.

    Examples
    --------
    >>> from detectors.episodes import Episodes

    >>> episodes = Episodes(begin=0.001, end=0.1, calm=2)
    >>> [episodes.learn_one(p) for p in (0.5, 0.0001, 0.02, 0.5, 0.00001, 0.3, 0.4, 0.9)]
    ['', 'start', 'continue', 'continue', 'continue', 'continue', 'end', '']
    >>> episodes.count
    1

    References
    ----------
    [^1]: ANSI/ISA-18.2-2016, Management of alarm systems for the process industries: deadbands and
        off-delays against alarms that chatter.

    """

    def __init__(
        self,
        begin: float = 1e-4,
        end: float = 0.01,
        calm: int = 5,
        cooldown: int = 5,
        longest: int = 1_000,
    ) -> None:
        self.begin = begin
        self.end = end
        self.calm = calm
        self.cooldown = cooldown
        self.longest = longest
        self.count = 0
        self._state: Floats = np.zeros(EPISODE)

    @property
    def open(self) -> bool:
        """An episode is going on."""
        return bool(self._state[_OPEN])

    @property
    def length(self) -> int:
        """Readings of the last episode so far."""
        return int(self._state[_LENGTH])

    def learn_one(self, probability: float) -> Step:
        """Take a reading's probability, NaN if there is none, and say what it does."""
        end = max(self.begin, self.end)
        number = episode_step(
            self._state, probability, self.begin, end, self.calm, self.cooldown, self.longest
        )
        self.count += number == 1
        return _STEPS[number]
