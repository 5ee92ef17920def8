"""What the parts of the default detector have in common: a row for each feature, and the time."""

import abc
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from river import base

from detectors import _kernel
from detectors.apart import usable
from detectors.verdict import Floats

_EVERY = 60.0  # seconds between readings that come without a time


def check_every(every: float | None) -> None:
    """Refuse a spacing of readings that is none.

    Raises:
        ValueError: with what to give instead.
    """
    if every is not None and not 0 < every < math.inf:
        raise ValueError(f"`every` must be a number of seconds above 0, or None, not {every}")


class Rows:
    """A row of the kernel for every feature, and the time of the next reading that comes without one.

    Args:
        every: seconds from one reading to the next; None if that is to be learned.

    Raises:
        ValueError: it is no number above 0.
    """

    def __init__(self, every: float | None) -> None:
        check_every(every)
        self._step = every or _EVERY
        self._rows: dict[Any, Floats] = {}
        self._next = 0.0

    def at(self, given: Mapping[str, float]) -> float:
        """The time that a reading came with, as `at`; without it, or with NaN, one step after the last."""
        at = given.get("at", math.nan)
        return self._next if math.isnan(at) else at

    def known(self, x: Mapping[Any, Any]) -> list[tuple[Any, Floats, float]]:
        """Features that have a row: name, a copy of the row, value; NaN where the reading is missing."""
        numbers = usable(x)
        return [
            (name, row.copy(), numbers.get(name, math.nan))
            for name in x
            if (row := self._rows.get(name)) is not None
        ]

    def taken(self, x: Mapping[Any, Any], at: float) -> list[tuple[Any, Floats, float]]:
        """The same, of the rows themselves, to be learned; features that are new get one."""
        numbers = usable(x)
        for name in numbers:
            if name not in self._rows:
                self._rows[name] = np.zeros(_kernel.SIZE)
        if math.isfinite(at):
            self._next = at + self._step
        return [
            (name, row, numbers.get(name, math.nan))
            for name in x
            if (row := self._rows.get(name)) is not None
        ]


class Timed(base.AnomalyDetector):
    """A detector of each feature by a row of its own, told the time of a reading by `at`.

    Readings without a time are `every` apart, or a minute. NaN is a reading that is missing; a feature that
    is left out was not read.
    """

    every: float | None
    _rows: Rows
    _row: Floats

    @abc.abstractmethod
    def _judge(self, row: Floats, at: float, value: float) -> float:
        """How strange a reading is, in [0, 1]; the row learns it."""

    def score_one(self, x: Mapping[Any, Any], **kwargs: float) -> float:
        """How strange a reading is, in [0, 1], of its strangest feature; `at` may give its Unix seconds."""
        at = self._rows.at(kwargs)
        scores = [self._judge(row, at, value) for _, row, value in self._rows.known(x)]
        return max(scores, default=0.0)

    def learn_one(self, x: Mapping[Any, Any], **kwargs: float) -> None:
        """Learn a reading; `at` may give its Unix seconds."""
        at = self._rows.at(kwargs)
        for _, row, value in self._rows.taken(x, at):
            self._judge(row, at, value)
