"""Prices of one model, compiled: whole numbers to multiply counts with.

A price table says what each *kind* of token costs, where a kind is part of another: cached ones of the
input, reasoning of the output. Multiplying counts that contain each other needs the difference to the
kind that contains it. All factors of a rate share a denominator, a power of ten, so that sums are
exact and one division rounds, once.
"""

from bisect import bisect_right
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from time import time
from typing import NamedTuple

DAY = 86_400
# Kinds of tokens, with the one that contains each.
KINDS = {
    "input": None,
    "output": None,
    "cache_read": "input",
    "cache_write": "input",
    "reasoning": "output",
    "cache_write_1h": "cache_write",
}


class Rate(NamedTuple):
    """What calls cost up to some length of the prompt.

    Attributes:
        input: factor of all input tokens; the others by the names in `KINDS`.
        fixed: what a call costs whatever it uses.
        scale: denominator of them all.
        needs_input: whether a call without this count has no price.
        needs_output: the same.
    """

    input: int
    output: int
    cache_read: int
    cache_write: int
    reasoning: int
    cache_write_1h: int
    fixed: int
    scale: int
    needs_input: bool
    needs_output: bool

    def per_million(self) -> dict[str, float]:
        """Dollars per million tokens of each kind, for people."""
        full = {"": 0}
        for kind, container in KINDS.items():
            full[kind] = full[container or ""] + getattr(self, kind)
        return {kind: full[kind] * 10**6 / self.scale for kind in KINDS}


class Period(NamedTuple):
    """Rates of one time.

    Attributes:
        above: numbers of input tokens beyond which the next of `rates` holds.
        rates: one more than `above`; empty where the model had no price then.
        measurable: False where the model is charged by what is not tokens, such as hours of audio.
    """

    above: tuple[int, ...]
    rates: tuple[Rate, ...]
    measurable: bool = True

    def rate(self, input_tokens: int) -> Rate:
        """The rate for so many input tokens."""
        return self.rates[band(self.above, input_tokens)]


class Schedule(NamedTuple):
    """Rates of a model over time.

    Attributes:
        days: seconds since 1970 at which prices change.
        times: seconds of the day (UTC) at which they change, every day; the first is 0.
        periods: by day and time: `len(times)` for before the first day, then as many for each.
        rule: what the prices were found as, for people.
    """

    days: tuple[int, ...]
    times: tuple[float, ...]
    periods: tuple[Period, ...]
    rule: str

    def plain(self) -> Rate | None:
        """The one rate that every call has; None where it depends on the time or the prompt."""
        period = self.periods[0]
        single = len(self.periods) == 1 and len(period.rates) == 1 and period.measurable
        return period.rates[0] if single else None

    def lasting(self) -> Period | None:
        """The period that holds now, where nothing is known that will end it."""
        over = len(self.times) == 1 and (not self.days or self.days[-1] <= time())
        return self.periods[-1] if over else None

    def at(self, when: datetime | None) -> Period:
        """The period in which a moment lies; naive ones are UTC, None is now."""
        if len(self.periods) == 1:
            return self.periods[0]
        return self.periods[self.place(time() if when is None else _seconds(when))]

    def place(self, seconds: float) -> int:
        """Which of `periods`, by seconds since 1970."""
        return (
            bisect_right(self.days, seconds) * len(self.times)
            + bisect_right(self.times, seconds % DAY)
            - 1
        )


def rate(prices: Mapping[str, Decimal], fixed: Decimal = Decimal(0)) -> Rate:
    """Compile a price list.

    Args:
        prices: dollars per million tokens of the kinds in `KINDS`; one that is absent costs what the
            kind that contains it costs, and input and output nothing.
        fixed: dollars a call.

    Examples:
        >>> compiled = rate({"input": Decimal("2.5"), "cache_read": Decimal("1.25")})
        >>> compiled.input, compiled.cache_read, compiled.scale
        (250, -125, 100000000)
    """
    full: dict[str, Decimal] = {}
    factors: dict[str, Decimal] = {}
    for kind, container in KINDS.items():
        around = full[container] if container else Decimal(0)
        full[kind] = prices.get(kind, around)
        factors[kind] = full[kind] - around
    exact = [*(factor.scaleb(-6) for factor in factors.values()), fixed]
    places = max(0, *(-int(value.normalize().as_tuple().exponent) for value in exact))
    whole = [int(value.scaleb(places)) for value in exact]
    charged_input = any(full[k] for k in ("input", "cache_read", "cache_write", "cache_write_1h"))
    needs_output = bool(full["output"] or full["reasoning"])
    return Rate._make([*whole, 10**places, charged_input, needs_output])


def band(above: tuple[int, ...], count: int) -> int:
    """Which rate holds for so many input tokens; "above" is meant strictly."""
    passed = 0
    for start in above:
        if count > start:
            passed += 1
    return passed


def _seconds(when: datetime) -> float:
    if when.tzinfo is None:
        return (when - datetime(1970, 1, 1)).total_seconds()  # noqa: DTZ001
    return when.timestamp()
