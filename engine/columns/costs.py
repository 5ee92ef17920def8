"""What the calls of a batch cost, by a price table; Python runs only for each distinct model."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from burnline_llm.prices import MOST_TOKENS, Period, PriceTable, Schedule
from numba import njit
from numpy.typing import NDArray

# Reasons, a byte a row.
PRICED, MODEL, USAGE = 0, 1, 2
REASONS = ("", "model", "usage")
# The order of a rate's factors; whoever sends none of the last three has no such tokens.
_KINDS = ("input", "output", "cache_read", "cache_write", "reasoning", "cache_write_1h")
# Columns of the rates kept: factors, fixed, scale, whether input and output are needed, reason.
_FIXED, _SCALE, _NEEDS_INPUT, _NEEDS_OUTPUT, _REASON = 6, 7, 8, 9, 10
_UNKNOWN = [0.0] * _SCALE + [1.0, 0.0, 0.0, MODEL]
_NO_PRICE = 0  # the place of `_UNKNOWN`
_DAY_NS = 86_400 * 10**9
_MOST = float(MOST_TOKENS)
_MOST_RATES = 50_000
_MOST_DENSE = 1 << 16

Key = tuple[str | None, str | None, str | None]


class _Varying(NamedTuple):
    """What decides between the rates of a model.

    Attributes:
        days: seconds since 1970 at which they change.
        times: seconds of the day at which they do.
        firsts: by day and time, how far behind the model's first the rates of a period stand.
        above: by day and time, the lengths of the prompt that part them.
    """

    days: NDArray[np.int64]
    times: NDArray[np.float64]
    firsts: NDArray[np.int64]
    above: tuple[NDArray[np.float64], ...]

    def offsets(
        self, input_tokens: NDArray[np.float64], end_ns: NDArray[np.uint64]
    ) -> NDArray[np.int64]:
        """Of each row of the model, how far behind the first its rate stands."""
        if len(self.above) == 1:
            return np.searchsorted(self.above[0], _known(input_tokens), "left")
        cells = np.zeros(len(end_ns), np.int64)
        if len(self.days):
            seconds = (end_ns // np.uint64(10**9)).astype(np.int64)
            cells = np.searchsorted(self.days, seconds, "right")
        if len(self.times) > 1:
            of_day = (end_ns % np.uint64(_DAY_NS)).astype(np.float64) / 1e9
            cells = cells * len(self.times) + np.searchsorted(self.times, of_day, "right") - 1
        offsets = self.firsts[cells]
        for cell, above in enumerate(self.above):
            if len(above) and (rows := cells == cell).any():
                offsets[rows] += np.searchsorted(above, _known(input_tokens[rows]), "left")
        return offsets


class CostColumns:
    """Prices batches; equal to `table.cost` on every row.

    Args:
        table: prices.
    """

    def __init__(self, table: PriceTable) -> None:
        self.table = table
        self._known: dict[Key, tuple[int, _Varying | None]] = {}
        self._rates = np.array([_UNKNOWN])

    def of(
        self,
        providers: Sequence[str],
        models: Sequence[str],
        provider_codes: NDArray[np.int64],
        model_codes: NDArray[np.int64],
        tokens: Mapping[str, NDArray[np.float64]],
        end_ns: NDArray[np.uint64],
        tiers: Sequence[str] = (),
        tier_codes: NDArray[np.int64] | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        """Dollars of each row.

        Args:
            providers: distinct names.
            models: distinct names.
            provider_codes: of each row, an index into `providers`; -1 for none.
            model_codes: the same for `models`.
            tokens: counts of each row by kind, NaN where absent: input, output, cache_read,
                cache_write, and where known reasoning and cache_write_1h.
            end_ns: when each call ended.
            tiers: distinct service tiers.
            tier_codes: of each row; None for no tier at all.

        Returns:
            US dollars, NaN where unknown, and why: `PRICED`, `MODEL` or `USAGE`.
        """
        if not len(end_ns):
            return np.empty(0), np.empty(0, np.uint8)
        if len(self._rates) > _MOST_RATES:
            self._forget()
        places = self._places(
            (providers, models, tiers),
            (provider_codes, model_codes, tier_codes),
            tokens["input"],
            end_ns,
        )
        absent = np.full(len(end_ns), np.nan)
        return priced(self._rates, places, *(tokens.get(kind, absent) for kind in _KINDS))

    def _places(
        self,
        names: tuple[Sequence[str], Sequence[str], Sequence[str]],
        codes: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64] | None],
        input_tokens: NDArray[np.float64],
        end_ns: NDArray[np.uint64],
    ) -> NDArray[np.int64]:
        """Of each row, where its rate stands in `_rates`."""
        combined, sizes = codes[0] + 1, [len(each) + 1 for each in names]
        for code, size in zip(codes[1:], sizes[1:], strict=True):
            combined = combined * size + (0 if code is None else code + 1)
        present, inverse = _distinct(combined, math.prod(sizes))
        bases = np.empty(len(present), np.int64)
        varying: list[tuple[int, _Varying]] = []
        for n, value in enumerate(present.tolist()):
            rest, tier = divmod(value, sizes[2])
            provider, model = divmod(rest, sizes[1])
            pairs = zip(names, (provider, model, tier), strict=True)
            key: Key = tuple(each[c - 1] if c else None for each, c in pairs)  # type: ignore[assignment]
            bases[n], changing = self._rate(key)
            if changing is not None:
                varying.append((n, changing))
        places = bases[inverse]
        for n, changing in varying:
            rows = np.flatnonzero(inverse == n)
            places[rows] += changing.offsets(input_tokens[rows], end_ns[rows])
        return places

    def _rate(self, key: Key) -> tuple[int, _Varying | None]:
        """Where the first of a model's rates stands; all that it ever has follow it."""
        known = self._known.get(key)
        if known is None:
            schedule = self.table.schedule(*key)
            if schedule is None:
                known = (_NO_PRICE, None)
            else:
                known = (len(self._rates), None if schedule.plain() else _varying(schedule))
                rows = [row for period in schedule.periods for row in _rows(period)]
                self._rates = np.vstack([self._rates, np.array(rows, np.float64)])
            if len(self._known) < _MOST_RATES:
                self._known[key] = known
        return known

    def _forget(self) -> None:
        """Begin anew: names come from outside, and what is kept of them is bounded."""
        self._known.clear()
        self._rates = np.array([_UNKNOWN])


def _distinct(values: NDArray[np.int64], size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Distinct values below `size`, and of each row which it has; without sorting where that is possible."""
    if size > _MOST_DENSE:
        present, inverse = np.unique(values, return_inverse=True)
        return present, inverse
    where = np.zeros(size, np.int64)
    where[values] = 1
    present = np.flatnonzero(where)
    where[present] = np.arange(len(present))
    return present, where[values]


def _varying(schedule: Schedule) -> _Varying:
    rates = [max(1, len(period.rates)) for period in schedule.periods]
    return _Varying(
        np.array(schedule.days, np.int64),
        np.array(schedule.times),
        np.cumsum([0, *rates[:-1]]),
        tuple(np.array(period.above, np.float64) for period in schedule.periods),
    )


def _known(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Zero where they are absent; what is priced then is another's question."""
    return np.where(np.isnan(counts), 0.0, counts)


def _rows(period: Period) -> list[list[float]]:
    """Rows of the rates kept, one for each length of the prompt."""
    reason = PRICED if period.measurable else USAGE
    if not period.rates:
        return [_UNKNOWN]
    # Where the length decides, a call without one has no price even if all of its tokens are free.
    return [
        [
            *map(float, rate[:_NEEDS_INPUT]),
            rate.needs_input or bool(period.above),
            rate.needs_output,
            reason,
        ]
        for rate in period.rates
    ]


def warm_up() -> None:
    """Compile the kernel, or load it from numba's cache."""
    none, place = np.zeros(1), np.zeros(1, np.int64)
    priced(np.array([_UNKNOWN]), place, none, none, none, none, none, none)


@njit(cache=True, nogil=True)
def priced(
    rates: NDArray[np.float64],
    places: NDArray[np.int64],
    inputs: NDArray[np.float64],
    outputs: NDArray[np.float64],
    reads: NDArray[np.float64],
    writes: NDArray[np.float64],
    reasonings: NDArray[np.float64],
    hours: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Dollars of each row by its place among the rates, and the reason where it has none."""
    n = len(places)
    dollars = np.full(n, np.nan)
    reasons = np.empty(n, np.uint8)
    counts = np.empty(6)
    for row in range(n):
        rate = rates[places[row]]
        reasons[row] = np.uint8(rate[_REASON])
        if reasons[row] != PRICED:
            continue
        counts[0], counts[1], counts[2] = inputs[row], outputs[row], reads[row]
        counts[3], counts[4], counts[5] = writes[row], reasonings[row], hours[row]
        sound = not (
            (rate[_NEEDS_INPUT] > 0 and np.isnan(counts[0]))
            or (rate[_NEEDS_OUTPUT] > 0 and np.isnan(counts[1]))
        )
        total = rate[_FIXED]
        for kind in range(6):
            if np.isnan(counts[kind]):
                counts[kind] = 0.0
            if not (0.0 <= counts[kind] <= _MOST) or counts[kind] != np.floor(counts[kind]):
                sound = False
            total += rate[kind] * counts[kind]
        # No part is larger than what contains it.
        if (
            not sound
            or counts[2] + counts[3] > counts[0]
            or counts[4] > counts[1]
            or counts[5] > counts[3]
        ):
            reasons[row] = USAGE
        else:
            dollars[row] = total / rate[_SCALE]
    return dollars, reasons
