"""What is best on one half of the labelled series, judged on the other: best-of-many fools nobody then."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.detection.alarms import Outcome
from benchmarks.detection.incidents import BUDGET, at, within
from benchmarks.detection.nab import Sweep
from benchmarks.detection.series import Series
from detectors.verdict import Floats

SPLITS = 40


def left_out(series: Sequence[Series], scores: Sequence[Floats]) -> dict[str, Outcome]:
    """Each group of series at the threshold that the others give; none where there is one group."""
    pairs = list(zip(series, scores, strict=True))
    groups = sorted({one.group for one in series})
    found = {}
    for group in groups if len(groups) > 1 else ():
        mine = [(one, score) for one, score in pairs if one.group == group]
        others = [(one, score) for one, score in pairs if one.group != group]
        threshold = within([one for one, _ in others], [score for _, score in others]).threshold
        found[group] = at([one for one, _ in mine], [score for _, score in mine], threshold)
    return found


@dataclass(frozen=True, slots=True)
class Carried:
    """Means over random halves: what is best on one half of the series, on the other.

    Attributes:
        recall: of incidents on the other half.
        precision: of alarms there.
        rate: false alarms a series and day there.
    """

    recall: float
    precision: float
    rate: float


def carried(
    series: Sequence[Series],
    configurations: Sequence[Sequence[Floats]],
    *,
    budget: float = BUDGET,
    splits: int = 20,
    seed: int = 0,
) -> Carried:
    """How a threshold does on series that it was not chosen on; NaN where there are no two series.

    Args:
        series: what was judged.
        configurations: the scores of each series, by each of them; the one of most recall is chosen too.
        budget: false alarms a series and day, on the half that chooses.
        splits: how often the series are halved at random.
        seed: of the halves.
    """
    if len(series) < 2:
        return Carried(np.nan, np.nan, np.nan)
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(splits):
        order = rng.permutation(len(series))
        chooses, judged = order[: len(series) // 2], order[len(series) // 2 :]
        half = [series[i] for i in chooses]
        tried = [
            (within(half, [scores[i] for i in chooses], budget=budget), scores)
            for scores in configurations
        ]
        best, scores = max(tried, key=lambda one: (one[0].recall, one[0].precision))
        other = [series[i] for i in judged]
        one = at(other, [scores[i] for i in judged], best.threshold)
        found.append((one.recall, one.precision, one.rate))
    recall, precision, rate = np.nanmean(found, axis=0).tolist()
    return Carried(recall, precision, rate)


def split_halves(
    sweeps: Sequence[Sweep], splits: int = SPLITS, seed: int = 0
) -> tuple[float, float]:
    """Mean and deviation of the score of one half of the files, by what is best on the other.

    Args:
        sweeps: one for each configuration; configuration and threshold are chosen on the one half.
        splits: how often the files are halved at random.
        seed: of the halves.
    """
    rng = np.random.default_rng(seed)
    count = len(sweeps[0].gains)
    scores = []
    for _ in range(splits):
        files = rng.permutation(count)
        chosen_on, scored_on = files[: count // 2], files[count // 2 :]
        best = max(sweeps, key=lambda one: one.gains[chosen_on].sum(0).max())
        scores.append(best.score(best.best(chosen_on), scored_on))
    return float(np.mean(scores)), float(np.std(scores))
