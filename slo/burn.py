"""Burn-rate tiers: from a share of the budget to the error ratio that two windows must exceed.

Source of the method: Google SRE workbook, chapter 5 ("multiwindow, multi-burn-rate alerts").
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from slo.durations import format_duration
from slo.model import Severity, Tier

# Below this factor a default tier would alert on errors that the budget allows for ever.
LEAST_DEFAULT_FACTOR = Fraction(9, 10)


@dataclass(frozen=True, slots=True)
class TierPlan:
    """A tier before the objective's target and period are known.

    Attributes:
        name: what users and notes call it.
        severity: the alert this tier can fire.
        short: seconds of the short window.
        long: seconds of the long window.
        share: the part of the budget that burns away in the long window; None when `factor` is set.
        factor: the burn rate; None when `share` is set.
        written: a user wrote or changed it, so it is never switched off.
    """

    name: str
    severity: Severity
    short: int
    long: int
    share: Fraction | None
    factor: Fraction | None = None
    written: bool = False


DEFAULT_TIERS = (
    TierPlan("page-fast", "page", 300, 3600, Fraction(2, 100)),
    TierPlan("page-slow", "page", 1800, 6 * 3600, Fraction(5, 100)),
    TierPlan("ticket-fast", "ticket", 2 * 3600, 86400, Fraction(10, 100)),
    TierPlan("ticket-slow", "ticket", 6 * 3600, 3 * 86400, Fraction(10, 100)),
)


def resolve_tiers(
    target: Fraction, period: int, plans: Iterable[TierPlan] = DEFAULT_TIERS
) -> tuple[tuple[Tier, ...], tuple[str, ...]]:
    """Tiers with factor and threshold for an objective, and notes on what was changed or left out.

    Args:
        target: the objective as a ratio, above 0 and below 1.
        period: seconds of the budget's period.
        plans: the tiers wanted.

    Returns:
        The tiers in the order of the plans, and a sentence for each one that was clamped or
        switched off, or that burns slower than the budget allows.

    >>> tiers, _ = resolve_tiers(Fraction(999, 1000), 30 * 86400)
    >>> [float(tier.factor) for tier in tiers]
    [14.4, 6.0, 3.0, 1.0]
    """
    tiers: list[Tier] = []
    notes: list[str] = []
    for plan in plans:
        tier = _resolve(plan, target, period)
        doubt = _doubt(plan, period)
        if doubt is None or plan.written:
            tiers.append(tier)
        if doubt is not None:
            notes.append(
                f"tier {plan.name} {'alerts although' if plan.written else 'is off:'} {doubt}"
            )
        if tier.clamped and tiers and tiers[-1] is tier:
            notes.append(_clamp_note(plan, tier, target, period))
    return tuple(tiers), tuple(notes)


def resolve_spend_tiers(
    period: int, plans: Iterable[TierPlan] = DEFAULT_TIERS
) -> tuple[tuple[Tier, ...], tuple[bool, ...], tuple[str, ...]]:
    """Tiers of a cost budget, which of them have a factor of their own, and notes on those left out.

    Money has no ratio that could not be exceeded, so none is clamped.

    >>> tiers, _, _ = resolve_spend_tiers(30 * 86400)
    >>> [float(tier.factor) for tier in tiers]
    [14.4, 6.0, 3.0, 1.0]
    """
    tiers: list[Tier] = []
    fixed: list[bool] = []
    notes: list[str] = []
    for plan in plans:
        doubt = _doubt(plan, period, "budget's", "period")
        if doubt is None or plan.written:
            factor = _wanted_factor(plan, period)
            share = plan.share if plan.share is not None else factor * plan.long / period
            tiers.append(
                Tier(plan.severity, plan.short, plan.long, share, factor, threshold=factor)
            )
            fixed.append(plan.share is None)
        if doubt is not None:
            notes.append(
                f"tier {plan.name} {'alerts although' if plan.written else 'is off:'} {doubt}"
            )
    return tuple(tiers), tuple(fixed), tuple(notes)


def _resolve(plan: TierPlan, target: Fraction, period: int) -> Tier:
    wanted = _wanted_factor(plan, period)
    budget = 1 - target
    clamped = wanted * budget >= 1
    # An error ratio cannot exceed 1; half-way between an even split (or the budget, where that is
    # more) and total failure is one that a window can exceed, and that no ordinary day does.
    threshold = (1 + max(budget, Fraction(1, 2))) / 2 if clamped else wanted * budget
    share = plan.share if plan.share is not None else wanted * plan.long / period
    return Tier(
        severity=plan.severity,
        short=plan.short,
        long=plan.long,
        share=share,
        factor=threshold / budget,
        threshold=threshold,
        clamped=clamped,
    )


def _wanted_factor(plan: TierPlan, period: int) -> Fraction:
    if plan.factor is not None:
        return plan.factor
    if plan.share is None:
        raise ValueError(f"tier {plan.name} has neither a share nor a factor; give it one of them")
    return plan.share * period / plan.long


def _doubt(
    plan: TierPlan, period: int, owner: str = "objective's", what: str = "window"
) -> str | None:
    if plan.long > period:
        return (
            f"its long window ({format_duration(plan.long)}) exceeds the {owner} "
            f"({format_duration(period)})"
        )
    wanted = _wanted_factor(plan, period)
    if wanted < LEAST_DEFAULT_FACTOR:
        rate = _short(wanted)
        return f"at a burn rate of {rate} the budget lasts longer than the {owner} {what}"
    return None


def _clamp_note(plan: TierPlan, tier: Tier, target: Fraction, period: int) -> str:
    wanted = _wanted_factor(plan, period)
    return (
        f"tier {plan.name} cannot fire at its factor {_short(wanted)}: with a target of "
        f"{_short(100 * target)} % that is an error ratio of "
        f"{_short(100 * wanted * (1 - target))} %; clamped to {_short(tier.factor)}, which is an "
        f"error ratio above {_short(100 * tier.threshold)} %"
    )


def _short(value: Fraction) -> str:
    return f"{float(value):.6g}"
