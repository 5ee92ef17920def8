"""Verdicts from several detectors put together."""

import numpy as np
from numpy.typing import NDArray

from detectors import Verdict, Verdicts

Indices = NDArray[np.int64]
_NOTHING = Verdict(np.nan, 1.0, np.nan, np.nan, np.nan, alert=False, learning=False)


def nothing(count: int) -> Verdicts:
    """Verdicts of readings that there were not."""
    return Verdicts(
        score=np.full(count, _NOTHING.score),
        probability=np.full(count, _NOTHING.probability),
        expected=np.full(count, _NOTHING.expected),
        lower=np.full(count, _NOTHING.lower),
        upper=np.full(count, _NOTHING.upper),
        alert=np.zeros(count, np.bool_),
        learning=np.zeros(count, np.bool_),
    )


def put(target: Verdicts, places: Indices, source: Verdicts, rows: Indices) -> None:
    """Put verdicts of some rows in their places."""
    target.score[places] = source.score[rows]
    target.probability[places] = source.probability[rows]
    target.expected[places] = source.expected[rows]
    target.lower[places] = source.lower[rows]
    target.upper[places] = source.upper[rows]
    target.alert[places] = source.alert[rows]
    target.learning[places] = source.learning[rows]


def put_one(target: Verdicts, place: int, verdict: Verdict) -> None:
    """Put a verdict in its place."""
    target.score[place] = verdict.score
    target.probability[place] = verdict.probability
    target.expected[place] = verdict.expected
    target.lower[place] = verdict.lower
    target.upper[place] = verdict.upper
    target.alert[place] = verdict.alert
    target.learning[place] = verdict.learning
