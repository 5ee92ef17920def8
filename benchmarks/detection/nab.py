"""The score of the Numenta Anomaly Benchmark, written from its paper, for every threshold at once.

Lavin and Ahmad, "Evaluating Real-time Anomaly Detection Algorithms: the Numenta Anomaly Benchmark", ICMLA
2015. NAB's own scorer has the last word (`nab_scorer`); this one is for sweeps and split halves.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.series import Series
from detectors.verdict import Floats

MUTE = 150  # readings: a detection silences those that follow it
GRID = 400  # thresholds that are tried where detections mute each other


@dataclass(frozen=True, slots=True)
class Profile:
    """What a false positive and a miss cost; a true positive is worth 1."""

    name: str
    false_positive: float
    miss: float


STANDARD = Profile("standard", 0.11, 1.0)
PROFILES = (
    STANDARD,
    Profile("reward_low_FP_rate", 0.22, 1.0),
    Profile("reward_low_FN_rate", 0.11, 2.0),
)


def probation(readings: int) -> int:
    """The first readings of a file, which are not scored.

    >>> probation(1000), probation(20_000)
    (150, 750)
    """
    return min(math.floor(0.15 * readings), 750)


def _worth(position: float) -> float:
    """By place, relative to a window's width: -1 is its first reading, 0 just after its last."""
    return -1.0 if position > 3 else 2 / (1 + math.exp(5 * position)) - 1


@dataclass(frozen=True, slots=True)
class _File:
    """What detections in a file are worth.

    Attributes:
        worth: of a detection at each reading; in a window only the best counts.
        window: that the reading is in, -1 for none.
        windows: those that are scored.
        start: the first reading after the probation.
    """

    worth: Floats
    window: NDArray[np.int64]
    windows: int
    start: int


def _file(series: Series, profile: Profile) -> _File:
    count = len(series.values)
    worth = np.full(count, -profile.false_positive)
    window = np.full(count, -1)
    for number, (first, last) in enumerate(series.windows):
        following = series.windows[number + 1 :]
        end = following[0][0] if following else count
        width = last - first + 1
        for i in range(first, last + 1):
            worth[i] = _worth(-(last - i + 1) / width) / _worth(-1.0)
        for i in range(last + 1, end):
            # A window of one reading has no width to measure by: what is behind it is far behind.
            past = (i - last) / (width - 1) if width > 1 else math.inf
            worth[i] = _worth(past) * profile.false_positive
        window[first : last + 1] = number
    start = probation(count)
    return _File(worth, window, len(set(window[start:].tolist()) - {-1}), start)


@dataclass(frozen=True, slots=True)
class Sweep:
    """The gain of each threshold over detecting nothing, by file.

    Attributes:
        thresholds: descending.
        gains: `float64[files, thresholds]`.
        windows: of each file.
        scored: of them, those that are not all in the probation.
        profile: by which it is scored.
    """

    thresholds: Floats
    gains: Floats
    windows: NDArray[np.int64]
    scored: NDArray[np.int64]
    profile: Profile

    def best(self, files: Sequence[int] | NDArray[np.int64] | None = None) -> int:
        """The threshold (its place) that gains most over these files; over all where None."""
        gains = self.gains if files is None else self.gains[files]
        return int(gains.sum(0).argmax())

    def score(self, place: int, files: Sequence[int] | NDArray[np.int64] | None = None) -> float:
        """NAB's score of a threshold: 0 for detecting nothing, 100 for all at once and nothing false."""
        which = range(len(self.gains)) if files is None else files
        perfect = self.windows[which].sum() + self.profile.miss * self.scored[which].sum()
        return float(100 * self.gains[which, place].sum() / perfect) if perfect else math.nan


def sweep(
    series: Sequence[Series],
    scores: Sequence[Floats],
    *,
    profile: Profile = STANDARD,
    mute: int = 1,
) -> Sweep:
    """Score every threshold.

    Args:
        series: the benchmark's files.
        scores: of each, one a reading, higher is stranger; one that is 0 or less never detects.
        profile: what false positives and misses cost.
        mute: readings from a detection to the next that counts; at 1 all do, as NAB has it.
    """
    files = [_file(one, profile) for one in series]
    windows = np.array([len(one.windows) for one in series])
    kept = [score[file.start :] for file, score in zip(files, scores, strict=True)]
    distinct = np.unique(np.concatenate(kept))[::-1]
    distinct = distinct[distinct > 0]
    if mute > 1 and len(distinct) > GRID:
        distinct = _grid(np.concatenate(kept))
    thresholds = np.concatenate([[np.inf], distinct])
    gain = _gains if mute <= 1 else _muted
    gains = np.array(
        [
            gain(file, score, thresholds, profile.miss, mute)
            for file, score in zip(files, scores, strict=True)
        ]
    )
    scored = np.array([file.windows for file in files])
    return Sweep(thresholds, gains, windows, scored, profile)


def _grid(scores: Floats) -> Floats:
    """Thresholds at geometric ranks of all scores."""
    top = np.sort(scores[scores > 0])[::-1]
    ranks = np.geomspace(1, len(top), GRID).astype(int) - 1
    return np.unique(top[ranks])[::-1]


def _gains(file: _File, score: Floats, thresholds: Floats, miss: float, _mute: int) -> Floats:
    worth, window, score = file.worth[file.start :], file.window[file.start :], score[file.start :]
    order = np.argsort(-score, kind="stable")
    steps = np.where(window[order] < 0, worth[order], 0.0)
    for number in range(len(file.window) and int(file.window.max()) + 1):
        places = np.flatnonzero(window[order] == number)
        best = np.maximum.accumulate(np.concatenate([[-miss], worth[order][places]]))
        steps[places] = np.diff(best)
    total = np.concatenate([[0.0], np.cumsum(steps)])
    return total[np.searchsorted(-score[order], -thresholds, side="right")]


def _muted(file: _File, score: Floats, thresholds: Floats, miss: float, mute: int) -> Floats:
    gains = np.zeros(len(thresholds))
    for place, threshold in enumerate(thresholds):
        best: dict[int, float] = {}
        for reading in detections(score, float(threshold), mute, file.start):
            window, worth = int(file.window[reading]), float(file.worth[reading])
            if window < 0:
                gains[place] += worth
            else:
                best[window] = max(best.get(window, -miss), worth)
        gains[place] += sum(best.values()) + miss * len(best)
    return gains


def detections(score: Floats, threshold: float, mute: int, start: int = 0) -> list[int]:
    """Readings at or above the threshold that no detection silences.

    >>> detections(np.array([0.0, 1.0, 1.0, 0.0, 1.0]), 1.0, mute=3)
    [1, 4]
    """
    places = np.flatnonzero(score[start:] >= threshold) + start
    found: list[int] = []
    while len(places):
        found.append(int(places[0]))
        places = places[np.searchsorted(places, places[0] + mute) :]
    return found
