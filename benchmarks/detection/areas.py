"""Areas under precision and recall, one series at a time: by point, and range-aware (VUS-PR).

VUS-PR is the volume under the surface of Paparrizos et al., "Volume Under the Surface: A New Accuracy
Evaluation Measure for Time-Series Anomaly Detection", PVLDB 15(11), 2022, with the choices that
TSB-AD (Liu and Paparrizos, NeurIPS 2024) makes: 250 thresholds at equal ranks of the score, every
buffer length from 0 to the series' period, the average over them.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.detection.series import Window, runs
from detectors.verdict import Bools, Floats

THRESHOLDS = 250


def point_precision(label: Bools, score: Floats) -> float:
    """Average precision over readings; readings of one score count together. NaN without labels.

    >>> point_precision(np.array([True, False, True]), np.array([3.0, 2.0, 1.0]))
    0.8333333333333333
    """
    if not label.any():
        return float("nan")
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.diff(score[order], append=-np.inf))
    hits = np.cumsum(label[order])[last]
    return float(np.sum(np.diff(hits, prepend=0) / label.sum() * hits / (last + 1)))


def period(values: Floats) -> int:
    """Readings of a season as TSB-AD finds it: the lag, 6 to 303, of the autocorrelation's highest peak.

    125 where the highest is at another lag, or there is none.
    """
    there = np.nan_to_num(values[:20_000], nan=float(np.nanmean(values)))
    off = there - there.mean()
    spectrum = np.fft.rfft(off, 2 * len(off))
    correlation = np.fft.irfft(spectrum * np.conj(spectrum))[: min(401, len(off))]
    if correlation[0] <= 0:
        return 125
    lags = correlation[3:] / correlation[0]
    peaks = np.flatnonzero((lags[1:-1] > lags[:-2]) & (lags[1:-1] > lags[2:])) + 1
    if not len(peaks):
        return 125
    best = int(peaks[np.argmax(lags[peaks])])
    return best + 3 if 3 <= best <= 300 else 125


def volume(
    label: Bools, score: Floats, longest: int, lengths: Sequence[int] | None = None
) -> float:
    """VUS-PR of one series; NaN without labels.

    For a buffer of `l` readings the label of a reading within `l / 2` of an anomaly falls off with its
    distance `d` as `sqrt(1 - d / l)`. At each threshold, precision is the labels' sum over the alarms
    divided by their number; recall is that sum divided by the mean of the strict and the buffered number
    of anomalous readings, times the share of the buffered anomalies that have an alarm at all.

    Args:
        label: which readings are anomalous.
        score: higher is stranger.
        longest: the longest buffer, in readings.
        lengths: of the buffers; all from 0 to the longest where None.
    """
    anomalies = runs(label)
    if not anomalies:
        return float("nan")
    falling = -np.sort(-score)
    thresholds = falling[np.linspace(0, len(score) - 1, THRESHOLDS).astype(int)]
    alarms = np.searchsorted(-falling, -thresholds, side="right")
    # Index of the first threshold that a reading reaches.
    reached = np.searchsorted(-thresholds, -score, side="left")
    inside = np.cumsum(np.bincount(reached[label], minlength=THRESHOLDS + 1)[:THRESHOLDS])
    distance = _distances(label, anomalies)
    near = np.flatnonzero(~label & (distance <= longest // 2))
    order = near[np.argsort(distance[near], kind="stable")]
    far = distance[order]
    precisions = []
    for length in range(longest + 1) if lengths is None else lengths:
        count = int(np.searchsorted(far, length // 2, side="right"))
        weights = _fallen(anomalies, order[:count], length, len(label))
        buffered = np.bincount(reached[order[:count]], weights, THRESHOLDS + 1)[:THRESHOLDS]
        buffer = np.cumsum(buffered)
        hits = inside + buffer
        size = (label.sum() + label.sum() + buffer) / 2
        stretches = _stretches(anomalies, length // 2, len(label))
        first = np.array([reached[a : b + 1].min() for a, b in stretches])
        exists = np.cumsum(np.bincount(first, minlength=THRESHOLDS + 1)[:THRESHOLDS])
        recall = np.minimum(hits / size, 1) * exists / len(stretches)
        precisions.append(np.sum(np.diff(recall, prepend=0.0) * hits / alarms))
    return float(np.mean(precisions))


def _distances(label: Bools, anomalies: Sequence[Window]) -> Floats:
    """Of each reading to the nearest anomaly."""
    places = np.arange(len(label))
    firsts = np.array([-np.inf, *(first for first, _ in anomalies), np.inf])
    lasts = np.array([-np.inf, *(last for _, last in anomalies), np.inf])
    following = np.searchsorted(firsts, places, side="right")
    away = np.minimum(places - lasts[following - 1], firsts[following] - places)
    return np.where(label, 0.0, away)


def _fallen(
    anomalies: Sequence[Window], places: NDArray[np.int64], length: int, count: int
) -> Floats:
    """The buffered label of readings outside anomalies: what neighbours on both sides give, at most 1."""
    weight = np.zeros(count)
    reach = length // 2
    for first, last in anomalies:
        after = np.arange(last + 1, min(last + reach + 1, count))
        weight[after] += np.sqrt(1 - (after - last) / max(length, 1))
        before = np.arange(max(first - reach, 0), first)
        weight[before] += np.sqrt(1 - (first - before) / max(length, 1))
    return np.minimum(weight[places], 1.0)


def _stretches(anomalies: Sequence[Window], reach: int, count: int) -> list[Window]:
    """The anomalies with their buffers; those that touch are one."""
    found: list[Window] = []
    for first, last in anomalies:
        begin, end = max(first - reach, 0), min(last + reach, count - 1)
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], end)
        else:
            found.append((begin, end))
    return found
