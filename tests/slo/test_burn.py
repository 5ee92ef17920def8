"""Tiers: factors, clamps, and those that make no sense for a period."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slo.burn import DEFAULT_TIERS, TierPlan, resolve_tiers

DAY = 86400
targets = st.fractions(Fraction(1, 10**6), 1 - Fraction(1, 10**6))


@pytest.mark.parametrize(
    ("days", "factors"),
    [(30, (14.4, 6, 3, 1)), (28, (13.44, 5.6, 2.8, 14 / 15))],
)
def test_default_factors(days: int, factors: tuple[float, ...]) -> None:
    tiers, notes = resolve_tiers(Fraction(999, 1000), days * DAY)
    assert [float(t.factor) for t in tiers] == list(factors)
    assert not notes
    assert tiers[0].threshold == Fraction(1, 1000) * tiers[0].factor


@given(targets, st.integers(300, 400 * DAY))
def test_every_tier_can_fire_and_thresholds_follow_factors(target: Fraction, period: int) -> None:
    tiers, notes = resolve_tiers(target, period)
    for tier in tiers:
        assert 0 < tier.threshold < 1
        assert tier.threshold == tier.factor * (1 - target)
        assert tier.factor >= Fraction(9, 10) or tier.clamped
        assert tier.clamped or tier.factor == tier.share * period / tier.long
        assert tier.long <= period
    clamped = sum(t.clamped for t in tiers)
    assert len(notes) == len(DEFAULT_TIERS) - len(tiers) + clamped


def test_a_tier_that_cannot_fire_is_clamped_to_three_quarters() -> None:
    tiers, notes = resolve_tiers(Fraction(9, 10), 30 * DAY)
    assert [t.clamped for t in tiers] == [True, False, False, False]
    assert (tiers[0].threshold, tiers[0].factor) == (Fraction(3, 4), Fraction(15, 2))
    assert notes == (
        (
            "tier page-fast cannot fire at its factor 14.4: with a target of 90 % that is an error "
            "ratio of 144 %; clamped to 7.5, which is an error ratio above 75 %"
        ),
    )


def test_a_target_below_one_half_is_clamped_above_its_budget() -> None:
    tiers, _ = resolve_tiers(Fraction(4, 10), 30 * DAY)
    assert tiers[0].threshold == Fraction(8, 10)


def test_short_periods_switch_default_tiers_off_but_not_written_ones() -> None:
    written = TierPlan("mine", "page", 300, 2 * DAY, Fraction(1, 10), written=True)
    tiers, notes = resolve_tiers(Fraction(99, 100), DAY, (*DEFAULT_TIERS, written))
    assert [t.long for t in tiers] == [2 * DAY]
    assert [n.split(":")[0] for n in notes[:3]] == [
        "tier page-fast is off", "tier page-slow is off", "tier ticket-fast is off",
    ]  # fmt: skip
    assert notes[3].startswith("tier ticket-slow is off: its long window (3d) exceeds")
    assert notes[4].startswith("tier mine alerts although its long window (2d) exceeds")


def test_a_factor_gives_the_share() -> None:
    plan = TierPlan("f", "page", 300, 3600, None, Fraction(10), written=True)
    (tier,), _ = resolve_tiers(Fraction(999, 1000), 30 * DAY, [plan])
    assert tier.share == Fraction(10 * 3600, 30 * DAY)


def test_a_plan_without_share_and_factor_is_refused() -> None:
    with pytest.raises(ValueError, match="neither a share nor a factor"):
        resolve_tiers(Fraction(1, 2), DAY, [TierPlan("x", "page", 300, 3600, None)])
