"""What calls cost: dollars of spans as whole nanodollars, and those that cannot be used told apart."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.columns._shared import Classes, Shared
from slo import llm
from slo.columns import Field, Kind

NANO = 1e9

Cells = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]


class Cost(NamedTuple):
    """The cost of each row that is a call.

    Attributes:
        nanodollars: `int64[n]`, rounded to the nearest, 0 where it has no price.
        priced: `bool[n]`.
        refused: `bool[n]`, its price cannot be true: no number, negative, not finite, above
            `llm.MOST_DOLLARS`.
        unpriced: `bool[n]`, it has none, and `span.burnline.cost.unpriced` says why: a call that failed
            before it used anything misses none.
    """

    nanodollars: NDArray[np.int64]
    priced: NDArray[np.bool_]
    refused: NDArray[np.bool_]
    unpriced: NDArray[np.bool_]


def price(shared: Shared, which: Field, calls: NDArray[np.bool_]) -> Cost:
    """The cost of the calls among a batch's rows."""
    numbers = shared.numbers(which)
    columns = shared.batch.columns
    absent = calls & (columns[which].kinds == Kind.NIL)
    unpriced = absent & (columns[llm.UNPRICED].kinds != Kind.NIL)
    with np.errstate(invalid="ignore"):
        sound = numbers.usable & (numbers.values >= 0) & (numbers.values <= llm.MOST_DOLLARS)
    priced = calls & sound
    nanodollars = np.zeros(len(calls), np.int64)
    nanodollars[priced] = np.rint(numbers.values[priced] * NANO).astype(np.int64)
    return Cost(nanodollars, priced, calls & ~sound & ~absent, unpriced)


def count_money(
    grouped: Classes,
    buckets: NDArray[np.int64],
    n_buckets: int,
    calls: NDArray[np.bool_],
    cost: Cost,
) -> tuple[Cells, Cells]:
    """(nanodollars, calls) by class and bucket; and, of calls without a price, (refused, unpriced)."""
    cells = grouped.ids * n_buckets + buckets
    spent = _summed(cells[calls], n_buckets, cost.nanodollars[calls], None)
    apart = cost.refused | cost.unpriced
    return spent, _summed(cells[apart], n_buckets, cost.refused[apart], cost.unpriced[apart])


def _summed(
    cells: NDArray[np.int64],
    n_buckets: int,
    first: NDArray[np.int64] | NDArray[np.bool_],
    second: NDArray[np.bool_] | None,
) -> Cells:
    distinct, at = np.unique(cells, return_inverse=True)
    counts = np.zeros((len(distinct), 2), np.int64)
    np.add.at(counts[:, 0], at, first.astype(np.int64))
    np.add.at(counts[:, 1], at, 1 if second is None else second.astype(np.int64))
    classes, buckets = np.divmod(distinct, n_buckets)
    return classes, buckets, counts
