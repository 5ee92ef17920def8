"""A forecaster that outliers do not lead astray, and that finds out for itself whether there is a season."""

import datetime as dt
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit
from river import time_series

from detectors.apart import usable
from detectors.verdict import Floats

# Of each season that may be there: none, of the day, of the week.
PERIODS = (0.0, 86_400.0, 604_800.0)
_BINS = (0, 48, 168)
_BEFORE = (0, 0, 48)  # bins of the seasons before it
_KINDS = 3
_SEEN, _FIRST, _LAST, _STEP, _CHOSEN = 0, 1, 2, 3, 4
_LEVEL, _TREND, _ERROR, _SLOW = 5, 8, 11, 14
_WIDTH = 17
_SHAPE = 20
_COUNT = _SHAPE + 48 + 168
FORECAST = _COUNT + 48 + 168  # floats of a forecaster's state
_CLIP = 3.0  # an error beyond so many usual ones pulls no harder
_WORTH = 0.95  # a season is used where it makes errors smaller than this share
_DAYS = 5  # a season's shape is that of about so many periods


@njit(cache=True)
def _seasonal(state: Floats, kind: int, at: float) -> float:
    """What a season adds at a time; between the middles of its bins it runs straight.

    With a reading a bin or fewer, a bin has what was seen wherever in it that reading lies.
    """
    if kind == 0 or math.isnan(at) or at - state[_FIRST] < 2 * PERIODS[kind]:
        return 0.0
    bins = _BINS[kind]
    width = PERIODS[kind] / bins
    start = _BEFORE[kind]
    place = (at % PERIODS[kind]) / width
    if 2 * state[_STEP] > width:
        return float(state[_SHAPE + start + int(place) % bins])
    lower = math.floor(place - 0.5)
    part = place - 0.5 - lower
    left, right = start + int(lower) % bins, start + int(lower + 1) % bins
    # A bin that has seen nothing says nothing.
    if state[_COUNT + left] == 0:
        part = 1.0
    elif state[_COUNT + right] == 0:
        part = 0.0
    return float(state[_SHAPE + left] * (1 - part) + state[_SHAPE + right] * part)


@njit(cache=True)
def _ahead(state: Floats, kind: int, steps: float, damping: float) -> float:
    """Level and damped trend so many steps on."""
    grown = steps if damping >= 1 else damping * (1 - damping**steps) / (1 - damping)
    return float(state[_LEVEL + kind] + grown * state[_TREND + kind])


@njit(cache=True)
def _steps(state: Floats, at: float) -> float:
    """Usual steps since the last reading, at least one."""
    if math.isnan(at) or math.isnan(state[_LAST]) or state[_STEP] <= 0:
        return 1.0
    return float(min(max((at - state[_LAST]) / state[_STEP], 1.0), 100.0))


@njit(cache=True)
def forecast_value(state: Floats, at: float, steps: float, damping: float) -> float:
    """The value expected at a time (NaN if there is none), so many steps on; NaN before any reading."""
    if state[_SEEN] == 0:
        return math.nan
    kind = int(state[_CHOSEN])
    return _ahead(state, kind, max(steps, _steps(state, at)), damping) + _seasonal(state, kind, at)


@njit(cache=True)
def _learn_shape(state: Floats, kind: int, value: float, at: float) -> None:
    """Move the season's shape, and the mean of what is left without it, towards the value."""
    period = PERIODS[kind]
    step = max(state[_STEP], 1e-9)
    place = _BEFORE[kind] + int((at % period) / period * _BINS[kind]) % _BINS[kind]
    gain = max(1 / (state[_SEEN] + 1), min(1.0, step / period))
    off = value - state[_SLOW + kind] - state[_SHAPE + place]
    width = state[_WIDTH + kind]
    if state[_SEEN] >= 10 and width > 0:
        off = min(max(off, -2 * _CLIP * width), 2 * _CLIP * width)
    state[_WIDTH + kind] += gain * (abs(off) - width)
    state[_SLOW + kind] += gain * off
    most = max(float(_DAYS), _DAYS * period / _BINS[kind] / step)
    state[_COUNT + place] = min(state[_COUNT + place] + 1, most)
    state[_SHAPE + place] += off / state[_COUNT + place]


@njit(cache=True)
def forecast_learn(
    state: Floats, value: float, at: float, alpha: float, beta: float, damping: float
) -> None:
    """Learn a value; see `RobustForecast`.

    Args:
        state: `FORECAST` floats; zeros when new.
        value: finite.
        alpha: of the level.
        beta: of the trend.
        damping: of the trend.
        at: Unix seconds; NaN if there is no time, then there is no season either.
    """
    if state[_SEEN] == 0:
        state[_FIRST], state[_LAST], state[_STEP] = at, at, 0.0
        for kind in range(_KINDS):
            state[_LEVEL + kind] = state[_SLOW + kind] = value
        state[_SEEN] = 1
        return
    steps = _steps(state, at)
    for kind in range(_KINDS):
        expected = _ahead(state, kind, steps, damping)
        error = value - expected - _seasonal(state, kind, at)
        usual = state[_ERROR + kind]
        off = abs(error)
        if state[_SEEN] < 10 or usual == 0:
            pull = error
            state[_ERROR + kind] += (off - usual) / min(state[_SEEN], 10.0)
        else:
            reach = _CLIP * 1.25 * usual
            pull = min(max(error, -reach), reach)
            state[_ERROR + kind] += 0.02 * (min(off, 2 * reach) - usual)
        # With a season the level has less to do, and may be the steadier for it.
        pace = alpha if kind == 0 else alpha / 3
        gain = 1 - (1 - pace) ** steps
        before = state[_LEVEL + kind]
        state[_LEVEL + kind] = expected + gain * pull
        growth = (state[_LEVEL + kind] - before) / steps
        state[_TREND + kind] = damping * state[_TREND + kind]
        state[_TREND + kind] += beta * (growth - state[_TREND + kind])
    if not math.isnan(at):
        _keep_time(state, at)
        for kind in range(1, _KINDS):
            _learn_shape(state, kind, value, at)
    _choose(state)
    state[_SEEN] += 1


@njit(cache=True)
def _keep_time(state: Floats, at: float) -> None:
    if math.isnan(state[_FIRST]) or at < state[_FIRST]:
        state[_FIRST] = at
    passed = at - state[_LAST]
    if passed > 0:
        usual = state[_STEP]
        if usual <= 0:
            state[_STEP] = passed
        else:
            state[_STEP] += 0.1 * (min(max(passed, usual / 2), usual * 2) - usual)
    # A clock that was set back is followed: the next step is counted from where it is now.
    state[_LAST] = at


@njit(cache=True)
def _choose(state: Floats) -> None:
    """Use the season that makes the errors smallest, if it makes them clearly smaller than none does."""
    chosen = int(state[_CHOSEN])
    best = 0
    for kind in range(1, _KINDS):
        if state[_ERROR + kind] < _WORTH * state[_ERROR + best]:
            best = kind
    if best != chosen and state[_ERROR + best] < 0.97 * state[_ERROR + chosen]:
        state[_CHOSEN] = best
    if chosen > 0 and state[_ERROR + chosen] > state[_ERROR]:
        state[_CHOSEN] = 0.0


class RobustForecast(time_series.base.Forecaster):
    """Level, damped trend and a season that is looked for, none of which an outlier moves far.

    It has what `time_series.HoltWinters` and `time_series.SNARIMAX` lack: an error counts for no more than
    about three usual ones, so that one outlier does not spoil the forecasts after it; whether there is a
    season of the day or of the week is found out, and it is used only while forecasts are better for it;
    readings may be missing or come at any times. Where the season is known and readings are regular and
    clean, river's own are as good.

    Time is `x["time"]`: Unix seconds or a `datetime`. Without it there is no season, and readings count as
    one step apart.

    Parameters
    ----------
    alpha
        How much of an error the level takes on.
    beta
        How much of a change of the level the trend takes on.
    damping
        What is left of the trend after a step.

    Attributes
    ----------
    period : float
        Seconds of the season in use; 0 for none.
    error : float
        Usual size of an error one step ahead.

    Examples
    --------
    >>> import math, random
    >>> from detectors.forecast import RobustForecast

    Six days of a daily season, one noisy reading every ten minutes, an outlier in a hundred:

    >>> rng = random.Random(1)
    >>> model = RobustForecast()
    >>> for number in range(6 * 144):
    ...     value = rng.gauss(100 + 50 * math.sin(2 * math.pi * number / 144), 5)
    ...     model.learn_one(10_000.0 if number % 100 == 50 else value, {"time": 600.0 * number})

    >>> model.period
    86400.0
    >>> [round(value / 10) * 10 for value in model.forecast(3 * 36)[35::36]]
    [150, 100, 50]

    References
    ----------
    [^1]: Gelper, S., Fried, R. and Croux, C., 2010. Robust forecasting with exponential and Holt-Winters
        smoothing. Journal of Forecasting 29(3). doi:10.1002/for.1125
    [^2]: Gardner, E. S. and McKenzie, E., 1985. Forecasting trends in time series. Management Science 31(10).

    """

    def __init__(self, alpha: float = 0.3, beta: float = 0.02, damping: float = 0.9) -> None:
        self.alpha = alpha
        self.beta = beta
        self.damping = damping
        self._state: Floats = np.zeros(FORECAST)

    @property
    def period(self) -> float:
        """Seconds of the season in use; 0 for none."""
        return PERIODS[int(self._state[_CHOSEN])]

    @property
    def error(self) -> float:
        """Usual size of an error one step ahead."""
        return float(self._state[_ERROR + int(self._state[_CHOSEN])])

    def learn_one(self, y: float, x: dict[Any, Any] | None = None) -> None:
        """Take the next value; one that is no number is no reading."""
        for value in usable({"y": y}).values():
            forecast_learn(self._state, value, time_of(x), self.alpha, self.beta, self.damping)

    def forecast(self, horizon: int, xs: Sequence[dict[Any, Any]] | None = None) -> list[float]:
        """Values expected at the next steps, or at the times of `xs`; NaN before any value."""
        state = self._state
        return [
            float(forecast_value(state, self._time(number, xs), float(number), self.damping))
            for number in range(1, horizon + 1)
        ]

    def _time(self, number: int, xs: Sequence[dict[Any, Any]] | None) -> float:
        at = time_of(xs[number - 1]) if xs else math.nan
        return float(self._state[_LAST] + number * self._state[_STEP]) if math.isnan(at) else at


def time_of(x: dict[Any, Any] | None) -> float:
    """Unix seconds in a reading's `time`; NaN if there are none.

    >>> time_of({"time": dt.datetime(1970, 1, 2, tzinfo=dt.UTC)}), time_of({})
    (86400.0, nan)
    """
    at = (x or {}).get("time")
    if isinstance(at, dt.datetime):
        return at.timestamp()
    return usable({"time": at}).get("time", math.nan)
