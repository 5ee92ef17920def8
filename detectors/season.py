"""A value less what the time of day adds to it: a part of the default detector."""

from collections.abc import Mapping
from typing import Any

from river import base

from detectors import _kernel
from detectors.timed import Rows


class Season(base.Transformer):
    """Takes the season of the day off each feature, where it has one.

    The profile has 24 bins, linear between their centres, of what a slow level (ten days) leaves of the
    readings; outliers count for no more than three usual residuals. It is taken off while residuals with it
    are clearly smaller than without, so that a series without a season stays as it is. A bin is half
    believed after ten readings, and follows in ten days.

    Parameters
    ----------
    every
        Seconds from one reading to the next; learned where it is not given. In a pipeline of river, which
        passes no times on, readings are so far apart; a minute where it is not given.

    Examples
    --------
    >>> import math
    >>> from detectors.season import Season

    >>> season = Season()
    >>> for minute in range(0, 28 * 1_440, 15):
    ...     busy = 100 + 50 * math.sin(2 * math.pi * minute / 1_440)
    ...     season.learn_one({"rate": busy}, at=60 * minute)
    >>> end = 60 * 28 * 1_440
    >>> day = season.transform_one({"rate": 150}, at=end + 6 * 3_600)["rate"]
    >>> night = season.transform_one({"rate": 50}, at=end + 18 * 3_600)["rate"]
    >>> abs(day - night) < 15
    True

    References
    ----------
    [^1]: Gelper, S., Fried, R. and Croux, C., 2010. Robust forecasting with exponential and Holt-Winters
        smoothing. Journal of Forecasting 29(3).

    """

    def __init__(self, every: float | None = None) -> None:
        self.every = every
        self._rows = Rows(every)

    def transform_one(self, x: Mapping[Any, Any], **kwargs: float) -> dict[Any, Any]:
        """The features, those that are numbers less their season; `at` may give the Unix seconds."""
        at = self._rows.at(kwargs)
        less = {
            name: float(_kernel.season_step(row, at, value, self.every or 0.0))
            for name, row, value in self._rows.known(x)
            if value == value  # noqa: PLR0124  NaN: missing
        }
        return {**x, **less}

    def learn_one(self, x: Mapping[Any, Any], **kwargs: float) -> None:
        """Learn a reading; `at` may give its Unix seconds."""
        at = self._rows.at(kwargs)
        for _, row, value in self._rows.taken(x, at):
            _kernel.season_step(row, at, value, self.every or 0.0)
