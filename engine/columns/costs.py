"""What the calls of a batch cost, by a price table; Python runs only for each distinct model."""

from collections.abc import Mapping, Sequence

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


class CostColumns:
    """Prices batches; equal to `table.cost` on every row.

    Args:
        table: prices.
    """

    def __init__(self, table: PriceTable) -> None:
        self.table = table
        self._known: dict[Key, tuple[int, Schedule | None]] = {}
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
        return _priced(self._rates, places, *(tokens.get(kind, absent) for kind in _KINDS))

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
        present, inverse = _distinct(combined, int(np.prod(sizes, dtype=object)))
        bases = np.empty(len(present), np.int64)
        varying: list[tuple[int, Schedule]] = []
        for n, value in enumerate(present.tolist()):
            rest, tier = divmod(value, sizes[2])
            provider, model = divmod(rest, sizes[1])
            pairs = zip(names, (provider, model, tier), strict=True)
            key: Key = tuple(each[c - 1] if c else None for each, c in pairs)  # type: ignore[assignment]
            bases[n], schedule = self._rate(key)
            if schedule is not None and schedule.plain() is None:
                varying.append((n, schedule))
        places = bases[inverse]
        for n, schedule in varying:
            rows = np.flatnonzero(inverse == n)
            places[rows] += _offsets(schedule, input_tokens[rows], end_ns[rows])
        return places

    def _rate(self, key: Key) -> tuple[int, Schedule | None]:
        """Where the first of a model's rates stands; all that it ever has follow it."""
        known = self._known.get(key)
        if known is None:
            schedule = self.table.schedule(*key)
            if schedule is None:
                known = (_NO_PRICE, None)
            else:
                known = (len(self._rates), schedule)
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


def _offsets(
    schedule: Schedule, input_tokens: NDArray[np.float64], end_ns: NDArray[np.uint64]
) -> NDArray[np.int64]:
    """Of each row of one model, how far behind the first its rate stands."""
    firsts = np.cumsum([0, *(max(1, len(period.rates)) for period in schedule.periods)])
    seconds = (end_ns // np.uint64(10**9)).astype(np.int64)
    of_day = (end_ns % np.uint64(_DAY_NS)).astype(np.float64) / 1e9
    cells = np.searchsorted(np.array(schedule.days, np.int64), seconds, "right")
    cells = cells * len(schedule.times) + np.searchsorted(schedule.times, of_day, "right") - 1
    offsets = firsts[cells]
    for cell in np.unique(cells).tolist():
        above = schedule.periods[cell].above
        if above:
            rows = cells == cell
            counts = np.nan_to_num(input_tokens[rows], nan=0.0)
            offsets[rows] += np.searchsorted(np.array(above), counts, "left")
    return np.asarray(offsets, np.int64)


@njit(cache=True, nogil=True)
def _priced(
    rates: NDArray[np.float64],
    places: NDArray[np.int64],
    inputs: NDArray[np.float64],
    outputs: NDArray[np.float64],
    reads: NDArray[np.float64],
    writes: NDArray[np.float64],
    reasonings: NDArray[np.float64],
    hours: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
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
