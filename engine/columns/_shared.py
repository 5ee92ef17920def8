"""What several objectives and monitors need of one batch of spans, worked out once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.columns._grouping import group_rows
from engine.columns.points import LONGEST_VALUE
from slo.columns import Field, Kind, SpanBatch
from slo.explain import Values, merged_values
from slo.masks import mask
from slo.traceql import Filter

NANOSECONDS = Field("intrinsic", "duration")


class Classes:
    """Rows grouped by the values of some fields.

    Two classes may read alike, such as those of the number 1 and of the text "1".

    Args:
        ids: `int64[n]`, each row's class.
        texts: of each field the value of each class, as label text.
        size: how many classes there are.
    """

    def __init__(self, ids: NDArray[np.int64], texts: list[list[str]], size: int) -> None:
        self.ids = ids
        self.size = size
        self._texts = texts
        self._heads: dict[int, list[Values]] = {}
        self._tails: dict[tuple[int, tuple[int, ...]], tuple[NDArray[np.int64], list[Values]]] = {}

    def __len__(self) -> int:
        return self.size

    @property
    def values(self) -> list[Values]:
        """All values of each class."""
        return self.heads(len(self._texts))

    def heads(self, width: int) -> list[Values]:
        """The first values of each class."""
        found = self._heads.get(width)
        if found is None:
            found = self._heads[width] = _zipped(self._texts[:width], self.size)
        return found

    def tails(
        self, width: int, merged: tuple[int, ...] = ()
    ) -> tuple[NDArray[np.int64], list[Values]]:
        """What the values after the first are, each distinct combination once.

        Args:
            width: how many to leave out.
            merged: which of those after that to take as if all had one.

        Returns:
            `int64[classes]`, the number of each one's combination, and the combinations.
        """
        found = self._tails.get((width, merged))
        if found is None:
            numbers: dict[Values, int] = {}
            combinations = _zipped(self._texts[width:], self.size)
            if merged:
                combinations = [merged_values(each, merged) for each in combinations]
            ids = [numbers.setdefault(each, len(numbers)) for each in combinations]
            found = self._tails[width, merged] = np.array(ids, np.int64), list(numbers)
        return found


def _zipped(texts: list[list[str]], size: int) -> list[Values]:
    return list(zip(*texts, strict=True)) if texts else [()] * size


@dataclass(slots=True)
class Numbers:
    """One field of every row as a number.

    Attributes:
        values: `float64[n]`; a duration in seconds.
        usable: `bool[n]`: it is there and finite.
        unusable: `bool[n]`: it is there and no finite number.
        complete: all are usable.
    """

    values: NDArray[np.float64]
    usable: NDArray[np.bool_]
    unusable: NDArray[np.bool_]
    complete: bool


class Shared:
    """Masks, classes and numbers of one batch."""

    def __init__(self, batch: SpanBatch) -> None:
        self.batch = batch
        self._masks: dict[Filter, NDArray[np.bool_]] = {}
        self._classes: dict[tuple[Field, ...], Classes] = {}
        self._numbers: dict[Field, Numbers] = {}

    def mask(self, which: Filter) -> NDArray[np.bool_]:
        """`bool[n]`: the rows that a filter means; not to be changed."""
        found = self._masks.get(which)
        if found is None:
            found = self._masks[which] = mask(which, self.batch)
        return found

    def classes(self, columns: tuple[Field, ...]) -> Classes:
        """The rows by the values of the columns; no columns make one class."""
        found = self._classes.get(columns)
        if found is None:
            found = self._classes[columns] = _classify(self.batch, columns)
        return found

    def numbers(self, which: Field) -> Numbers:
        """A field as numbers; texts that are numbers are numbers, as some libraries send them."""
        found = self._numbers.get(which)
        if found is None:
            found = self._numbers[which] = _numbers(self.batch, which)
        return found


def _classify(batch: SpanBatch, columns: tuple[Field, ...]) -> Classes:
    if not columns:
        return Classes(np.zeros(len(batch), np.int64), [], 1)
    kinds = np.stack([batch.columns[f].kinds for f in columns])
    bits = np.stack([batch.columns[f].bits for f in columns])
    ids, firsts = group_rows(kinds, bits)
    # A field may be among those of the group and among the explained.
    found: dict[Field, list[str]] = {}
    for i, column in enumerate(columns):
        if column not in found:
            found[column] = texts(kinds[i, firsts], bits[i, firsts], batch.strings)
    return Classes(ids, [found[column] for column in columns], len(firsts))


def texts(kinds: NDArray[np.uint8], bits: NDArray[np.int64], strings: Sequence[str]) -> list[str]:
    """Values as label text, cut to a length; absent and uncomparable ones are empty."""
    if not kinds.any():
        return [""] * len(kinds)
    if (kinds == Kind.STRING).all():
        return [strings[code][:LONGEST_VALUE] for code in bits.tolist()]
    floats = bits.view(np.float64)
    found = []
    for i, (kind, value) in enumerate(zip(kinds.tolist(), bits.tolist(), strict=True)):
        if kind == Kind.STRING:
            found.append(strings[value][:LONGEST_VALUE])
        elif kind == Kind.INT:
            found.append(str(value))
        elif kind == Kind.FLOAT:
            found.append(repr(float(floats[i])))
        elif kind == Kind.BOOL:
            found.append("true" if value else "false")
        else:
            found.append("")
    return found


def _numbers(batch: SpanBatch, which: Field) -> Numbers:
    kinds, bits = batch.columns[which]
    if which == NANOSECONDS:
        everywhere = np.ones(len(batch), np.bool_)
        return Numbers(bits / 1e9, everywhere, ~everywhere, complete=True)
    if len(kinds) and (kinds == kinds[0]).all() and kinds[0] in (Kind.NIL, Kind.INT):
        # By far the most: nobody sends it, or all do as a whole number.
        there = np.full(len(kinds), kinds[0] == Kind.INT)
        nowhere = np.zeros(len(kinds), np.bool_)
        return Numbers(bits.astype(np.float64), there, nowhere, complete=bool(there[0]))
    values = np.where(kinds == Kind.FLOAT, bits.view(np.float64), bits.astype(np.float64))
    texts = kinds == Kind.STRING
    if texts.any():
        codes, places = np.unique(bits[texts], return_inverse=True)
        read = np.array([_number(batch.strings[code]) for code in codes.tolist()])
        values[texts] = read[places]
    usable = np.isfinite(values) & ((kinds == Kind.INT) | (kinds == Kind.FLOAT) | texts)
    return Numbers(values, usable, ~usable & (kinds != Kind.NIL), bool(usable.all()))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan
