"""What calls cost by the price table, of the columns of a batch."""

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
from burnline_llm import prices
from numpy.typing import NDArray

from engine.columns import _texts
from engine.columns._texts import Texts
from engine.columns.costs import MODEL, CostColumns
from slo import llm
from slo.columns import Column, Field, Kind

T = TypeVar("T", bound=np.generic)

TIER = Field("span", "openai.response.service_tier")
_TOKENS = {
    "input": llm.INPUT_TOKENS,
    "output": llm.OUTPUT_TOKENS,
    "cache_read": llm.CACHE_READ_TOKENS,
    "cache_write": llm.CACHE_WRITE_TOKENS,
    "reasoning": llm.REASONING_TOKENS,
}
# Without counts of the others a call has none.
_NEEDED = ("input", "output")
# What a price is found by.
USED = (llm.PROVIDER, llm.REQUEST_MODEL, llm.RESPONSE_MODEL, TIER, *_TOKENS.values())


class Costs:
    """Prices rows by the table of the moment."""

    def __init__(self) -> None:
        self._columns: CostColumns | None = None

    def of(
        self,
        columns: Mapping[Field, Column],
        texts: Texts,
        rows: NDArray[np.int64],
        ends: NDArray[np.uint64],
    ) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        """US dollars of some rows, NaN where unknown, and the reason (`costs`).

        Args:
            columns: those of `USED`.
            texts: the batch's strings.
            rows: which.
            ends: when each of them ended.
        """
        table = prices.table()
        if self._columns is None or self._columns.table is not table:
            self._columns = CostColumns(table)
        priced = self._columns
        taken = {each: _some(columns[each], rows) for each in USED}
        tokens = {
            kind: texts.numbers(taken[each])
            for kind, each in _TOKENS.items()
            if kind in _NEEDED or not _texts.absent(taken[each])
        }
        provider, tier = _compact(taken[llm.PROVIDER], texts), _compact(taken[TIER], texts)
        # The provider knows best what answered; a name that only it uses may have no price.
        dollars, reasons = np.full(len(rows), np.nan), np.full(len(rows), MODEL, np.uint8)
        for which in (llm.RESPONSE_MODEL, llm.REQUEST_MODEL):
            open_ = np.flatnonzero((reasons == MODEL) & (taken[which].kinds == Kind.STRING))
            if not len(open_):
                continue
            model = _compact(_some(taken[which], open_), texts)
            dollars[open_], reasons[open_] = priced.of(
                provider[0],
                model[0],
                _rows(provider[1], open_),
                model[1],
                {kind: _rows(counts, open_) for kind, counts in tokens.items()},
                _rows(ends, open_),
                tier[0],
                _rows(tier[1], open_) if tier[0] else None,
            )
        return dollars, reasons


def _some(column: Column, rows: NDArray[np.int64]) -> Column:
    return Column(_rows(column.kinds, rows), _rows(column.bits, rows))


def _rows(values: NDArray[T], rows: NDArray[np.int64]) -> NDArray[T]:
    """Some rows, in their order; no copy of all."""
    return values if len(rows) == len(values) else values[rows]


def _compact(column: Column, texts: Texts) -> tuple[list[str], NDArray[np.int64]]:
    """The distinct texts, and of each row which it has; -1 for none."""
    codes = np.full(len(column.kinds), -1)
    are_texts = column.kinds == Kind.STRING
    if not are_texts.any():
        return [], codes
    used = texts.used(column.bits[are_texts])
    places = np.zeros(max(len(texts.strings), 1), np.int64)
    places[used] = np.arange(len(used))
    codes[are_texts] = places[column.bits[are_texts]]
    return [texts.strings[code] for code in used], codes
