"""Traffic that stops."""

import math
import pickle

import numpy as np
import pytest

from slo.anomalies._silence import Silence

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
START = 20_000 * DAY
SURE = -math.log(60 / (30 * DAY))


def fed(counts: np.ndarray, every: float = MINUTE) -> tuple[Silence, np.ndarray]:
    """What was missing at each interval of one row."""
    silence = Silence()
    silence.grow(1)
    found = [
        float(silence.observe(START + every * (number + 1), np.array([count]))[0])
        for number, count in enumerate(counts)
    ]
    return silence, np.array(found)


def day(rate: float = 3.0, days: int = 1, seed: int = 1) -> np.ndarray:
    at = np.arange(days * 1440)
    mean = rate * (1 + 0.6 * np.sin(2 * math.pi * at / 1440))
    return np.random.default_rng(seed).poisson(mean).astype(float)


@pytest.mark.parametrize("days", [1, 3, 9])
def test_three_calls_a_minute_that_stop_are_missed_within_the_half_hour(days: int) -> None:
    counts = np.concatenate([day(days=days), np.zeros(60)])
    _, missed = fed(counts)
    assert (missed[:-60] < SURE).all(), "nothing is missed before"
    assert np.flatnonzero(missed[-60:] > SURE)[0] <= 30


def test_a_call_an_hour_may_stay_away_for_long() -> None:
    counts = np.zeros(5 * 1440)
    counts[::60] = 1
    _, missed = fed(counts)
    assert missed.max() < SURE


def test_nights_without_traffic_are_usual_after_the_first() -> None:
    one = day(20.0)
    one[:360] = 0
    _, missed = fed(np.tile(one, 9))
    assert (missed[1440 + 360 :] < SURE).all()


def test_weekends_without_traffic_are_usual_after_the_first() -> None:
    week = np.concatenate([day(20.0, days=5), np.zeros(2 * 1440)])
    _, missed = fed(np.tile(week, 3))
    assert (missed[7 * 1440 :] < SURE).all()
    stopped = np.concatenate([np.tile(week, 2), day(20.0, days=2), np.zeros(60)])
    assert fed(stopped)[1][-1] > SURE, "and an outage is missed on the third Wednesday"


def test_what_comes_ends_the_silence_at_once() -> None:
    _, missed = fed(np.concatenate([day(), np.zeros(30), [1.0]]))
    assert missed[-2] > 0
    assert missed[-1] == 0


def test_a_row_that_is_freed_knows_nothing() -> None:
    silence, _ = fed(day())
    silence.reset(0)
    assert silence.expected(START) == 0
    assert all(not np.any(getattr(silence, part)) for part in ("usual", "weeks", "missed"))


def test_a_snapshot_at_any_moment_changes_nothing() -> None:
    counts = np.concatenate([day(days=2), np.zeros(30)])
    one = Silence()
    one.grow(1)
    for number, count in enumerate(counts):
        if number % 97 == 0:
            one = pickle.loads(pickle.dumps(one))  # noqa: S301  our own
        last = one.observe(START + MINUTE * (number + 1), np.array([count]))
    assert last == fed(counts)[1][-1]
