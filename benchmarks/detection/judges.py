"""All figures of a detector on the labelled series."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.detection import areas, halves, incidents, nab
from benchmarks.detection.alarms import Outcome
from benchmarks.detection.halves import Carried
from benchmarks.detection.series import Series
from detectors.verdict import Bools, Floats

HOUR = 3600.0
BUFFERS = (20, 100)


@dataclass(frozen=True, slots=True)
class Operational:
    """On operational series, at one threshold for all and the budget of false alarms.

    Attributes:
        overall: what the threshold comes to.
        tolerant: the same where alarms just behind an incident are neither true nor false.
        each_run: the same where every run is an alarm of its own, however near the next.
        by_hour: the same where runs less than an hour apart are one alarm.
        carried: where the threshold is chosen on one half of the series, for the other.
        groups: each folder at a threshold and the budget of its own.
        left_out: each folder at the threshold that the others give.
        vus_pr: range-aware area under precision and recall, the mean over series.
        vus_pr_at: the same with the longest buffer of so many readings for all series.
        auc_pr: the same by point.
    """

    overall: Outcome
    tolerant: Outcome
    each_run: Outcome
    by_hour: Outcome
    carried: Carried
    groups: dict[str, Outcome]
    left_out: dict[str, Outcome]
    vus_pr: float
    vus_pr_at: dict[int, float]
    auc_pr: float


def operational(series: Sequence[Series], scores: Sequence[Floats]) -> Operational:
    """Judge scores of operational series."""
    pairs = list(zip(series, scores, strict=True))
    groups = {}
    for group in sorted({one.group for one in series}):
        mine = [(one, score) for one, score in pairs if one.group == group]
        groups[group] = incidents.within([one for one, _ in mine], [score for _, score in mine])
    labelled = [(one.label, score) for one, score in pairs]
    periods = [areas.period(one.values) for one in series]
    return Operational(
        overall=incidents.within(series, scores),
        tolerant=incidents.within(series, scores, tolerance=incidents.TOLERANCE),
        each_run=incidents.within(series, scores, gap=2),
        by_hour=incidents.within(
            series, scores, gap=[max(2, round(HOUR / one.every)) for one in series]
        ),
        carried=halves.carried(series, [scores]),
        groups=groups,
        left_out=halves.left_out(series, scores),
        vus_pr=_volume(labelled, periods),
        vus_pr_at={buffer: _volume(labelled, [buffer] * len(series)) for buffer in BUFFERS},
        auc_pr=_mean([areas.point_precision(label, score) for label, score in labelled]),
    )


def _volume(labelled: list[tuple[Bools, Floats]], buffers: list[int]) -> float:
    pairs = zip(labelled, buffers, strict=True)
    return _mean([areas.volume(label, score, buffer) for (label, score), buffer in pairs])


def _mean(values: list[float]) -> float:
    """Of those that there are: a series without an incident has none."""
    there = [value for value in values if not np.isnan(value)]
    return float(np.mean(there)) if there else float("nan")


@dataclass(frozen=True, slots=True)
class Numenta:
    """NAB's scores by our own sweep: a list holds one for each profile.

    Attributes:
        every: as NAB has it, where every reading at or above the threshold is a detection.
        muted: where a detection silences the readings that follow.
        halves: mean of split halves, standard profile, muted: threshold chosen on one half, for the other.
        halves_every: the same, not muted.
    """

    every: tuple[float, ...]
    muted: tuple[float, ...]
    halves: float
    halves_every: float


def numenta(series: Sequence[Series], scores: Sequence[Floats]) -> Numenta:
    """Judge scores of NAB's files."""
    every = [nab.sweep(series, scores, profile=profile) for profile in nab.PROFILES]
    muted = [nab.sweep(series, scores, profile=profile, mute=nab.MUTE) for profile in nab.PROFILES]
    return Numenta(
        every=tuple(one.score(one.best()) for one in every),
        muted=tuple(one.score(one.best()) for one in muted),
        halves=halves.split_halves(muted[:1])[0],
        halves_every=halves.split_halves(every[:1])[0],
    )


def plain(figures: Operational | Numenta) -> dict[str, object]:
    """As JSON takes it, with the ratios."""
    record = dataclasses.asdict(figures)
    if isinstance(figures, Operational):
        outcomes = {"overall": figures.overall, "tolerant": figures.tolerant, **figures.groups}
        record["ratios"] = {
            name: {"recall": one.recall, "precision": one.precision, "rate": one.rate}
            for name, one in outcomes.items()
        }
    return record
