"""Readings of few events."""

from copy import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors import Bank, Verdicts
from slo.anomalies._evidence import Made, Usual

CHANCE = 60 / 604_800
ROWS = np.array([Made.WHOLE, Made.MEAN, Made.SHARE], np.int8)
numbers = st.floats(0, 1)


def usual(shares: float = 0.01, events: float = 100.0, times: int = 100) -> Usual:
    """What is usual after so many readings of a mean of 5, and of a share."""
    found = Usual()
    found.grow(3)
    for _ in range(times):
        found.judged(np.array([5.0, 5.0, shares]), np.full(3, events), ROWS, CHANCE)
    return found


@pytest.mark.parametrize(
    ("bad", "total", "strange"),
    [
        (1, 1, False),
        (1, 8, False),
        (2, 2, True),
        (2, 8, False),
        (3, 4, True),
        (4, 4, True),
        (5, 20, True),
        (2, 100, False),
    ],
)
def test_a_share_is_strange_where_its_events_bear_it_out(
    bad: int,
    total: int,
    strange: bool,  # noqa: FBT001
) -> None:
    judged = usual().judged(
        np.array([5.0, 5.0, bad / total]), np.full(3, float(total)), ROWS, CHANCE
    )
    assert (judged[2] > 0) == strange


def test_a_service_that_never_failed_is_not_believed_to_be_without_fault() -> None:
    young = usual(shares=0.0, events=2.0, times=10)
    judged = young.judged(np.array([5.0, 5.0, 0.5]), np.full(3, 2.0), ROWS, CHANCE)
    assert judged[2] == 0
    old = usual(shares=0.0, events=1000.0)
    assert old.judged(np.array([5.0, 5.0, 0.5]), np.full(3, 4.0), ROWS, CHANCE)[2] > 0


def test_a_mean_of_few_events_is_half_believed_and_a_rate_wholly() -> None:
    few = usual().judged(np.array([15.0, 15.0, 0.01]), np.full(3, 10.0), ROWS, CHANCE)
    np.testing.assert_allclose(few[:2], [15.0, 10.0])
    many = usual().judged(np.array([15.0, 15.0, 0.01]), np.full(3, 1e6), ROWS, CHANCE)
    np.testing.assert_allclose(many[:2], [15.0, 15.0], rtol=1e-4)


def test_what_is_not_there_is_not_there_and_teaches_nothing() -> None:
    known = usual()
    before = copy(known)
    judged = known.judged(np.full(3, np.nan), np.zeros(3), ROWS, CHANCE)
    assert np.isnan(judged).all()
    np.testing.assert_allclose(
        known.sums[1:] / known.weights[1:], before.sums[1:] / before.weights[1:]
    )


@given(st.lists(st.tuples(numbers, st.integers(0, 1000)), min_size=1, max_size=50))
def test_what_is_told_is_of_the_readings_as_they_are(stream: list[tuple[float, int]]) -> None:
    known, bank = Usual(), Bank(60.0)
    known.grow(3)
    bank.grow(3)
    for number, (share, count) in enumerate(stream * 4):
        values = np.array([share, share, round(share * count) / count if count else np.nan])
        events = np.full(3, float(count))
        before = copy(known)
        judged = known.judged(values, events, ROWS, CHANCE)
        verdicts = before.told(bank.observe(60.0 * number, judged), judged, events, ROWS, CHANCE)
        check(verdicts)
        if judged[2] == 0:
            assert not verdicts.alert[2]
            assert verdicts.probability[2] == 1


def check(verdicts: Verdicts) -> None:
    known = np.isfinite(verdicts.expected)
    assert (verdicts.lower[known] <= verdicts.expected[known] + 1e-9).all()
    assert (verdicts.expected[known] <= verdicts.upper[known] + 1e-9).all()
    assert (verdicts.lower[known] >= 0).all()
    assert not known[2] or verdicts.upper[2] <= 1
