"""Recall of incidents and precision of alarms: one threshold for all series, a budget of false alarms."""

from collections.abc import Iterator, Sequence

import numpy as np

from benchmarks.detection.alarms import Alarms, Outcome
from benchmarks.detection.series import Series
from detectors.verdict import Floats

Gap = int | Sequence[int]
BUDGET = 0.2
GAP = 10  # at 2 every run is an alarm of its own, at 1 every reading
TOLERANCE = 5


def outcomes(
    series: Sequence[Series], scores: Sequence[Floats], *, gap: Gap = GAP, tolerance: int = 0
) -> Iterator[Outcome]:
    """What each threshold comes to, the highest first; a score of 0 or less never alarms.

    Args:
        series: what was judged.
        scores: of each series, one a reading; higher is stranger.
        gap: runs less than so many readings apart are one alarm; one number, or one for each series.
        tolerance: alarms that begin within so many readings after an incident are neither true nor false.
    """
    gaps = [gap] * len(series) if isinstance(gap, int) else gap
    windows, afters, reaches, padded, known = [], [], [], [], 0
    pad = np.full(max(gaps), -1)  # so that alarms of neighbours never merge
    for one, score, own in zip(series, scores, gaps, strict=True):
        if len(score) != len(one.values) or not np.isfinite(score).all():
            raise ValueError(f"{one.name}: a finite score is needed for each of its readings")
        number_of = np.full(len(score), -1)
        for number, (first, last) in enumerate(one.windows, known):
            number_of[first : last + 1] = number
        known += len(one.windows)
        places = np.arange(len(score))
        latest = np.maximum.accumulate(np.where(number_of >= 0, places, -(10**9)))
        windows += [number_of, pad]
        afters += [places - latest, pad]
        reaches += [np.full(len(score), own), pad]
        padded += [score, np.zeros(len(pad))]
    everything = np.concatenate(padded)
    order = np.argsort(-everything, kind="stable")
    order = order[: int(np.count_nonzero(everything > 0))]
    window, after, reach = (np.concatenate(one).tolist() for one in (windows, afters, reaches))
    alarms = Alarms(window, after, reach, tolerance)
    days = sum(one.days for one in series)
    ordinary = _ordinary(series)
    ranked = everything[order].tolist()
    for rank, (reading, score) in enumerate(zip(order.tolist(), ranked, strict=True), 1):
        alarms.add(reading)
        if rank == len(ranked) or ranked[rank] < score:
            yield Outcome(
                score,
                len(alarms.found),
                known,
                alarms.true,
                alarms.false,
                days,
                alarms.outside,
                ordinary,
            )


def _ordinary(series: Sequence[Series]) -> int:
    return sum(int(np.count_nonzero(~one.label)) for one in series)


def _nothing(series: Sequence[Series], threshold: float) -> Outcome:
    """What a threshold that no score reaches comes to."""
    days = sum(one.days for one in series)
    incidents = sum(len(one.windows) for one in series)
    return Outcome(threshold, 0, incidents, 0, 0, days, 0, _ordinary(series))


def within(
    series: Sequence[Series],
    scores: Sequence[Floats],
    *,
    budget: float = BUDGET,
    gap: Gap = GAP,
    tolerance: int = 0,
) -> Outcome:
    """That of the lowest threshold which, as all above it, gives no more false alarms than the budget.

    Args:
        series: what was judged.
        scores: of each series.
        budget: false alarms a series and day.
        gap: see `outcomes`.
        tolerance: see `outcomes`.
    """
    best = _nothing(series, np.inf)
    for outcome in outcomes(series, scores, gap=gap, tolerance=tolerance):
        if outcome.rate > budget:
            break
        best = outcome
    return best


def at(
    series: Sequence[Series],
    scores: Sequence[Floats],
    threshold: float,
    *,
    gap: Gap = GAP,
    tolerance: int = 0,
) -> Outcome:
    """What one threshold comes to; arguments as of `outcomes`."""
    flags = [(score >= threshold).astype(float) for score in scores]
    found = next(outcomes(series, flags, gap=gap, tolerance=tolerance), None)
    return found or _nothing(series, threshold)
