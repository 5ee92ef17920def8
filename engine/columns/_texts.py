"""Work on a column's values by its distinct texts, each judged once however many rows have it."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from slo.columns import Column, Kind

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
_EXACT = float(2**53)


class Texts:
    """The strings of a batch, which may grow; each stands once.

    Args:
        strings: of the batch.
    """

    def __init__(self, strings: Sequence[str]) -> None:
        self.strings: Sequence[str] = strings
        self._numbers: dict[str, int] | None = None

    def code(self, text: str) -> int:
        """The index of a text among the strings, which it joins where it is new."""
        if self._numbers is None:
            self.strings = list(self.strings)
            self._numbers = {known: number for number, known in enumerate(self.strings)}
        number = self._numbers.get(text)
        if number is None:
            number = self._numbers[text] = len(self._numbers)
            self.strings.append(text)  # type: ignore[attr-defined]  # a list since it was numbered
        return number

    def column(self, values: Sequence[str], which: NDArray[np.integer]) -> Column:
        """A column of few texts: `values[which]` each; empty ones are absent."""
        kinds = np.array([Kind.STRING if value else Kind.NIL for value in values], np.uint8)
        used = np.zeros(len(values), np.bool_)
        used[which] = True
        codes = [self.code(value) if value and used[at] else 0 for at, value in enumerate(values)]
        return Column(kinds[which], np.array(codes, np.int64)[which])

    def used(self, codes: NDArray[np.int64]) -> list[int]:
        """The distinct codes among these."""
        in_use = np.zeros(len(self.strings), np.bool_)
        in_use[codes] = True
        found: list[int] = np.flatnonzero(in_use).tolist()
        return found

    def translate(self, column: Column, judge: Callable[[str], str]) -> Column:
        """A column with each text replaced by what it is judged to be; an empty answer is absent."""
        are_texts = column.kinds == Kind.STRING
        if not are_texts.any():
            return column
        everywhere = bool(are_texts.all())
        codes = column.bits if everywhere else column.bits[are_texts]
        changes: list[tuple[int, str]] = []
        for code in self.used(codes):
            text = self.strings[code]
            meant = judge(text)
            if meant != text or not meant:
                changes.append((code, meant))
        if not changes:
            return column
        into = np.arange(len(self.strings))
        for code, meant in changes:
            into[code] = self.code(meant) if meant else -1
        meant_codes = into[codes]
        if everywhere and meant_codes.min() >= 0:
            return Column(column.kinds, meant_codes)
        kinds, bits = column.kinds.copy(), column.bits.copy()
        bits[are_texts] = np.where(meant_codes < 0, 0, meant_codes)
        kinds[are_texts] = np.where(meant_codes < 0, Kind.NIL, Kind.STRING)
        return Column(kinds, bits)

    def numbers(self, column: Column) -> Floats:
        """Values as numbers, texts that are numbers too; NaN where there is none."""
        kinds, bits = column
        if len(kinds) and (kinds == kinds[0]).all():
            # By far the most: nobody sends it, or all do in one way.
            match kinds[0]:
                case Kind.NIL:
                    return np.full(len(kinds), np.nan)
                case Kind.INT:
                    return bits.astype(np.float64)
                case Kind.FLOAT:
                    return bits.view(np.float64).copy()
        values = np.where(kinds == Kind.FLOAT, bits.view(np.float64), bits.astype(np.float64))
        values[(kinds != Kind.INT) & (kinds != Kind.FLOAT)] = np.nan
        are_texts = kinds == Kind.STRING
        if are_texts.any():
            table = np.full(len(self.strings), np.nan)
            codes = bits[are_texts]
            for code in self.used(codes):
                table[code] = _number(self.strings[code])
            values[are_texts] = table[codes]
        return values

    def judged(self, column: Column, judge: Callable[[str], int]) -> NDArray[np.int64]:
        """A number for each row by its text; 0 where it is none."""
        answers = np.zeros(len(column.kinds), np.int64)
        are_texts = column.kinds == Kind.STRING
        if are_texts.any():
            table = np.zeros(len(self.strings), np.int64)
            everywhere = bool(are_texts.all())
            codes = column.bits if everywhere else column.bits[are_texts]
            for code in self.used(codes):
                table[code] = judge(self.strings[code])
            if everywhere:
                return table[codes]
            answers[are_texts] = table[codes]
        return answers


def absent(column: Column) -> bool:
    """Whether no row has it."""
    return not column.kinds.any()


def floats(values: Floats) -> Column:
    """Numbers as a column; NaN is absent."""
    there = ~np.isnan(values)
    return Column(
        np.where(there, Kind.FLOAT, Kind.NIL).astype(np.uint8),
        np.where(there, values, 0.0).view(np.int64),
    )


def truths(values: Mask) -> Column:
    """True or false on every row."""
    return Column(np.full(len(values), Kind.BOOL, np.uint8), values.astype(np.int64))


def first_of(first: Column, other: Column) -> Column:
    """The first where it is there, else the other."""
    there = first.kinds != Kind.NIL
    if there.all() or absent(other):
        return first
    return Column(
        np.where(there, first.kinds, other.kinds), np.where(there, first.bits, other.bits)
    )


def as_numbers(column: Column, texts: Texts) -> tuple[Column, int]:
    """Whole numbers as INT, others as FLOAT; what is no number from zero on is OTHER.

    Returns:
        the column, and how many values were there and no such number.
    """
    kinds, bits = column
    if ((kinds == Kind.NIL) | (kinds == Kind.INT)).all() and not (bits < 0).any():
        return column, 0
    values = texts.numbers(column)
    usable = np.isfinite(values) & (values >= 0)
    rejected = ~usable & (kinds != Kind.NIL)
    whole = usable & (kinds != Kind.INT) & (values == np.floor(values)) & (values <= _EXACT)
    broken = usable & (kinds != Kind.INT) & ~whole
    new_kinds = kinds.copy()
    new_bits = np.where(rejected, 0, bits)
    new_kinds[rejected] = Kind.OTHER
    new_kinds[whole] = Kind.INT
    new_bits[whole] = values[whole].astype(np.int64)
    new_kinds[broken] = Kind.FLOAT
    new_bits[broken] = values[broken].view(np.int64)
    return Column(new_kinds, new_bits), int(rejected.sum())


def as_truths(column: Column, texts: Texts) -> Column:
    """Texts and numbers that say true or false as BOOL; others stay."""
    kinds, bits = column
    if ((kinds == Kind.NIL) | (kinds == Kind.BOOL)).all():
        return column
    said = texts.judged(
        column, lambda text: {"true": 2, "1": 2, "false": 1, "0": 1}.get(text.lower(), 0)
    )
    said = np.where((kinds == Kind.INT) & ((bits == 0) | (bits == 1)), bits + 1, said)
    return Column(
        np.where(said > 0, Kind.BOOL, kinds).astype(np.uint8), np.where(said > 0, said - 1, bits)
    )


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return np.nan
