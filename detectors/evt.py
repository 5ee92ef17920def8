"""Extreme-value thresholds: the tail of a stream, by the peaks over a threshold that moves with it."""

import math
from collections.abc import Hashable

import numpy as np
from numba import njit

from detectors.apart import Apart
from detectors.verdict import Floats

# A tail's state: one row of floats, so that many series can be rows of one array.
_SEEN, _MEDIAN, _SPREAD, _THRESHOLD, _EXCESS, _RATE = 0, 1, 2, 3, 4, 5
_SHAPE, _SCALE, _CALM, _LONG, _PEAK, _HEAD, _HELD, _STALE = 6, 7, 8, 9, 10, 11, 12, 13
TAIL_HEAD = 14
START = 32  # readings before a tail says anything
_FIRST_PEAKS = 8  # of those
_GAIN = 0.05
_SLOWEST = 1 / 2000
_PRIOR = 40.0  # peaks of which a shape other than an exponential tail's is half believed
_PRIOR_END = 70.0  # the same of a tail that ends: what was not seen may come
_DOUBT = 2.0  # a tail that few peaks speak for is taken to be heavier: by so much over their number
_TINY = 1e-300


@njit(cache=True)
def gpd_fit(excesses: Floats) -> tuple[float, float]:
    """Shape and scale of a generalised Pareto distribution, by Zhang and Stephens' estimator.

    Args:
        excesses: sorted, all above 0, four or more.
    """
    held = len(excesses)
    grid = 20 + int(math.sqrt(held))
    quartile = excesses[int(held / 4 + 0.5) - 1]
    largest = excesses[-1]
    theta = np.empty(grid)
    likely = np.empty(grid)
    for j in range(grid):
        theta[j] = 1 / largest + (1 - math.sqrt(grid / (j + 0.5))) / (3 * quartile)
        mean = 0.0
        for excess in excesses:
            mean += math.log1p(-theta[j] * excess)
        mean /= held
        if mean == 0.0 or -theta[j] / mean <= 0:
            likely[j] = -math.inf
        else:
            likely[j] = held * (math.log(-theta[j] / mean) - mean - 1)
    most = likely.max()
    weights = 0.0
    chosen = 0.0
    for j in range(grid):
        weight = math.exp(likely[j] - most)
        weights += weight
        chosen += weight * theta[j]
    chosen /= weights
    shape = 0.0
    for excess in excesses:
        shape += math.log1p(-chosen * excess)
    shape /= held
    if chosen == 0.0 or shape == 0.0:
        return 0.0, excesses.mean()
    return shape, -shape / chosen


@njit(cache=True)
def gpd_tail(excess: float, shape: float, scale: float) -> float:
    """Probability of a larger excess."""
    if scale <= 0.0:
        return 0.0
    if abs(shape) < 1e-9:
        return math.exp(-excess / scale)
    inside = 1 + shape * excess / scale
    if inside <= 0.0:
        return 0.0
    return math.exp(-math.log(inside) / shape)


@njit(cache=True)
def _fit(state: Floats) -> None:
    held = int(state[_HELD])
    ring = state[TAIL_HEAD : TAIL_HEAD + held]
    ordered = np.sort(ring[ring > 0.0])
    count = len(ordered)
    if count == 0:
        state[_SHAPE], state[_SCALE] = 0.0, 0.0
    elif count < 8:
        state[_SHAPE], state[_SCALE] = 0.0, ordered.mean()
    else:
        shape, scale = gpd_fit(ordered)
        prior = (_PRIOR if shape > 0 else _PRIOR_END) ** 2 / count
        believed = shape * count / (count + prior)
        state[_SHAPE] = believed
        # The scale goes with the shape that is believed: so that the mean stays what it is.
        state[_SCALE] = scale + (ordered.mean() * (1 - believed) - scale) * prior / (count + prior)
    state[_STALE] = 0.0


@njit(cache=True)
def _keep_peak(state: Floats, excess: float) -> None:
    size = len(state) - TAIL_HEAD
    state[TAIL_HEAD + int(state[_HEAD])] = excess
    state[_HEAD] = (state[_HEAD] + 1) % size
    state[_HELD] = min(state[_HELD] + 1, size)
    state[_STALE] += 1
    if state[_STALE] * 16 >= state[_HELD]:
        _fit(state)


@njit(cache=True)
def _begin(state: Floats) -> None:
    """Make a tail of the first readings, which stand where peaks will."""
    first = np.sort(state[TAIL_HEAD : TAIL_HEAD + START])
    state[_MEDIAN] = first[START // 2]
    state[_SPREAD] = np.abs(first - state[_MEDIAN]).mean()
    state[_THRESHOLD] = first[START - _FIRST_PEAKS - 1]
    state[_RATE] = _FIRST_PEAKS / START
    state[_HEAD] = state[_HELD] = 0.0
    state[_PEAK] = -1.0
    above = first[START - _FIRST_PEAKS :] - state[_THRESHOLD]
    state[_EXCESS] = above.mean()
    for excess in above:
        if excess > 0:
            _keep_peak(state, excess)
    _fit(state)


@njit(cache=True)
def tail_learn(state: Floats, score: float, level: float, run: int, least: float) -> None:
    """Learn a score.

    Args:
        state: `TAIL_HEAD` floats and one for every peak that is kept (`START` or more); zeros when new.
        score: finite.
        level: quantile at which the tail begins.
        run: readings below the threshold that end a run of them above it; of each run the peak is kept.
        least: probability beyond which a peak is as good as another: an outlier makes no tail of its own.
    """
    seen = int(state[_SEEN])
    state[_SEEN] += 1
    if seen < START:
        state[TAIL_HEAD + seen] = score
        if seen == START - 1:
            _begin(state)
        return
    share = max(1 - level, _FIRST_PEAKS / (seen + 1))
    above = score > state[_THRESHOLD]
    excess = score - state[_THRESHOLD]
    begins = above and state[_PEAK] < 0
    state[_RATE] += max(3 / (seen + 1), _SLOWEST) * (begins - state[_RATE])
    if above:
        most = tail_quantile(state, least) - state[_THRESHOLD]
        if most > 0:
            excess = min(excess, most)
        state[_PEAK] = max(state[_PEAK], excess)
        most = 20 * state[_EXCESS] if state[_EXCESS] > 0 else excess
        state[_EXCESS] += 0.05 * (min(excess, most) - state[_EXCESS])
        state[_CALM] = 0.0
    else:
        state[_CALM] += 1
    state[_LONG] = state[_LONG] + 1 if state[_PEAK] >= 0 else 0.0
    if state[_PEAK] >= 0 and (state[_CALM] >= run or state[_LONG] >= 50 * run):
        _keep_peak(state, state[_PEAK])
        state[_PEAK] = -1.0
    # Both quantiles follow the stream by steps: up by what is above them, down by what is below.
    off = abs(score - state[_MEDIAN])
    most = 10 * state[_SPREAD] if state[_SPREAD] > 0 else off
    state[_SPREAD] += 0.01 * (min(off, most) - state[_SPREAD])
    state[_MEDIAN] += _GAIN * state[_SPREAD] * ((score > state[_MEDIAN]) - 0.5)
    step = _GAIN * max(state[_EXCESS], 0.1 * state[_SPREAD])
    # Long without anything above it, the threshold is far too high: it comes down the faster.
    step *= max(1.0, state[_CALM] * share / 20)
    before = state[_THRESHOLD]
    state[_THRESHOLD] = max(before + step * (above - share), state[_MEDIAN])
    if share > 1 - level:
        # While it still rises to its level, the peaks are taken over what it is now.
        for place in range(TAIL_HEAD, TAIL_HEAD + int(state[_HELD])):
            state[place] -= state[_THRESHOLD] - before


@njit(cache=True)
def tail_probability(state: Floats, score: float) -> float:
    """The share of readings at which something at least as extreme begins; 1 while there are too few."""
    seen = state[_SEEN]
    if seen < START:
        return 1.0
    least = 1 / (seen + 1) ** 4
    if score > state[_THRESHOLD]:
        held = max(state[_HELD], 1.0)
        if state[_SCALE] <= 0.0:
            return float(1 / (seen + 1))
        tail = gpd_tail(score - state[_THRESHOLD], state[_SHAPE] + _DOUBT / held, state[_SCALE])
        return float(max(state[_RATE] * tail, least))
    rate = max(state[_RATE], _TINY)
    width = state[_THRESHOLD] - state[_MEDIAN]
    if score >= state[_MEDIAN]:
        part = (score - state[_MEDIAN]) / width if width > 0 else 0.0
        return float(min(1.0, 0.5 * (2 * rate) ** part))
    depth = (state[_MEDIAN] - score) / width if width > 0 else 1.0
    return 1 - 0.5 * math.exp(-depth)


@njit(cache=True)
def tail_quantile(state: Floats, probability: float) -> float:
    """The least score of at most that probability, of those in the tail."""
    rate = state[_RATE]
    threshold = float(state[_THRESHOLD])
    if state[_SEEN] < START or state[_SCALE] <= 0.0 or probability >= rate:
        return threshold
    shape = state[_SHAPE] + _DOUBT / max(state[_HELD], 1.0)
    lower = math.log(probability / rate)
    if abs(shape) < 1e-9:
        return float(threshold - state[_SCALE] * lower)
    return float(threshold + state[_SCALE] / shape * (math.exp(-shape * lower) - 1))


@njit(cache=True)
def dspot_judge(row: Floats, value: float, depth: int) -> float:
    """Two-sided probability of a value; see `DSPOT` for the parameters."""
    off = value - row[0] if depth > 0 else value
    half = (len(row) - 2) // 2
    above = tail_probability(row[2 : 2 + half], off)
    below = tail_probability(row[2 + half :], -off)
    return min(1.0, 2 * min(above, below))


@njit(cache=True)
def dspot_learn(row: Floats, value: float, level: float, depth: int, run: int) -> None:
    """Learn a value, from both sides; row[0] is the level near it, row[1] how many it is made of."""
    off = value
    if depth > 0:
        if row[1] == 0:
            row[0] = value
        off = value - row[0]
        row[1] = min(row[1] + 1, depth)
        row[0] += (value - row[0]) / row[1]
    half = (len(row) - 2) // 2
    tail_learn(row[2 : 2 + half], off, level, run, 1e-6)
    tail_learn(row[2 + half :], -off, level, run, 1e-6)


class DSPOT(Apart):
    """Peaks over a threshold that moves with the stream, and a generalised Pareto tail beyond it.

    Says how improbable a value is, far beyond what has been seen. It is incremental: there is no first batch
    to be fitted, thresholds follow the stream, and the tail is made of the last peaks alone. Other than in
    the original, the tail is fitted by Zhang and Stephens' estimator instead of a search for the most likely
    parameters, and believed to be exponential until many peaks say otherwise.

    Parameters
    ----------
    level
        Quantile at which the tails begin.
    depth
        Values are judged by how far they are from the mean of about as many before them. With 0 they are
        judged themselves: this is SPOT, for a stream that does not drift.
    peaks
        How many peaks a tail is made of.
    run
        Values within the threshold that part two peaks: neighbours are not independent.

    Examples
    --------
    >>> import random
    >>> from detectors.evt import DSPOT

    >>> rng = random.Random(1)
    >>> detector = DSPOT()
    >>> for _ in range(2_000):
    ...     detector.learn_one({"latency": rng.gauss(10, 1)})

    >>> detector.probability_one({"latency": 10.5}) > 0.2
    True
    >>> 1e-5 < detector.probability_one({"latency": 14.0}) < 1e-3
    True
    >>> lower, upper = detector.limits("latency", 1e-4)
    >>> 5 < lower < 7 and 13 < upper < 15
    True

    References
    ----------
    [^1]: Siffer, A., Fouque, P.-A., Termier, A. and Largouet, C., 2017. Anomaly detection in streams with
        extreme value theory. KDD. doi:10.1145/3097983.3098144
    [^2]: Zhang, J. and Stephens, M. A., 2009. A new and efficient estimation method for the generalized
        Pareto distribution. Technometrics 51(3). doi:10.1198/tech.2009.08017

    """

    def __init__(
        self, level: float = 0.98, depth: int = 50, peaks: int = 128, run: int = 1
    ) -> None:
        self.level = level
        self.depth = depth
        self.peaks = peaks
        self.run = run
        self._rows = {}

    def _fresh(self) -> Floats:
        return np.zeros(2 + 2 * (TAIL_HEAD + max(self.peaks, START)))

    def _judge(self, row: Floats, value: float) -> float:
        return float(dspot_judge(row, value, self.depth))

    def _take(self, row: Floats, value: float) -> None:
        dspot_learn(row, value, self.level, self.depth, self.run)

    def limits(self, feature: Hashable, probability: float) -> tuple[float, float]:
        """The least and the greatest next value that is not less probable; NaN while there is too little."""
        row = self._rows.get(feature)
        if row is None or row[2] < START:
            return math.nan, math.nan
        middle = row[0] if self.depth > 0 else 0.0
        half = (len(row) - 2) // 2
        upper = tail_quantile(row[2 : 2 + half], probability / 2)
        lower = tail_quantile(row[2 + half :], probability / 2)
        return float(middle - lower), float(middle + upper)
