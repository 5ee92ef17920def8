"""Own prices, whatever file they come from: which of them a call has, and since when."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import NamedTuple

from burnline_llm.prices._bundled import canonical
from burnline_llm.prices._rates import DAY, Period, Rate, Schedule


class Entry(NamedTuple):
    """A price, or a share of the bundled one.

    Attributes:
        place: where it stands.
        provider: whose calls it is for, in `canonical` words; None for all.
        model: pattern of the model's name, in lower case.
        tier: service tier; None for all.
        since: first day (days since 1970) on which it holds.
        until: first day on which it does no longer.
        period: its rates; None with `multiplier`.
        multiplier: of the bundled price.
    """

    place: str
    provider: str | None
    model: str
    tier: str | None
    since: int | None
    until: int | None
    period: Period | None
    multiplier: Decimal | None = None

    def holds(self, day: int) -> bool:
        """Whether it does on a day."""
        return (self.since is None or day >= self.since) and (
            self.until is None or day < self.until
        )


class OwnPrices:
    """Prices of a file; the first entry that fits is right.

    Args:
        entries: in the file's order.
    """

    def __init__(self, entries: Sequence[Entry]) -> None:
        # Files in LiteLLM's format have thousands of entries, each for a name without a pattern.
        self._named: dict[str, list[tuple[int, Entry]]] = {}
        self._patterns: list[tuple[int, Entry]] = []
        for number, entry in enumerate(entries):
            if set(entry.model).isdisjoint("*?["):
                self._named.setdefault(entry.model, []).append((number, entry))
            else:
                self._patterns.append((number, entry))

    def __call__(
        self,
        provider: str | None,
        model: str,
        tier: str | None,
        bundled: Callable[[], Schedule | None],
    ) -> Schedule | None:
        """The schedule of a call, with bundled prices for times of which nothing is said here."""
        entries = self._fitting(canonical(provider), model.lower(), (tier or "").lower())
        if not entries:
            return bundled()
        edges = {day for e in entries for day in (e.since, e.until) if day is not None}
        firsts = [min(edges) - 1 if edges else 0, *sorted(edges)]
        chosen = [next((e for e in entries if e.holds(day)), None) for day in firsts]
        if len(firsts) == 1 and chosen[0] and chosen[0].period:
            return Schedule((), (0.0,), (chosen[0].period,), chosen[0].place)
        under = bundled() if any(e is None or e.multiplier is not None for e in chosen) else None
        if under is None:
            under = Schedule((), (0.0,), (Period((), ()),), "")
        return _woven(entries, edges, under)

    def _fitting(self, provider: str | None, model: str, tier: str) -> list[Entry]:
        found = [*self._named.get(model, ())]
        found += (pair for pair in self._patterns if fnmatchcase(model, pair[1].model))
        return [
            entry
            for _, entry in sorted(found, key=lambda pair: pair[0])
            if entry.provider in {None, provider} and entry.tier in {None, tier}
        ]


def _woven(entries: Sequence[Entry], edges: set[int], under: Schedule) -> Schedule:
    """The first entry that holds at each time, and the schedule below where none does."""
    days = sorted({day * DAY for day in edges} | set(under.days))
    periods = []
    for first in (days[0] - DAY if days else 0, *days):
        entry = next((e for e in entries if e.holds(first // DAY)), None)
        for second in under.times:
            below = under.periods[under.place(first + second)]
            periods.append(_chosen(entry, below))
    places = ", ".join(dict.fromkeys(e.place for e in entries))
    rule = f"{places}, else {under.rule}" if under.rule else places
    return Schedule(tuple(days), under.times, tuple(periods), rule)


def _chosen(entry: Entry | None, below: Period) -> Period:
    if entry is None:
        return below
    if entry.period is not None:
        return entry.period
    factor = Decimal(1) if entry.multiplier is None else entry.multiplier
    return below._replace(rates=tuple(_times(rate, factor) for rate in below.rates))


def _times(rate: Rate, factor: Decimal) -> Rate:
    top, bottom = factor.as_integer_ratio()
    factors = [value * top for value in rate[:7]]
    needs = (rate.needs_input and top > 0, rate.needs_output and top > 0)
    return Rate._make([*factors, rate.scale * bottom, *needs])
