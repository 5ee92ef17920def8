"""Filters over columns: which rows of a batch are meant, a comparison a few numpy passes.

What does not hold for a value at all (a text against a number, anything against an absent
attribute or an array) does not match, whatever the operator; only `= nil` matches the absent.
"""

import operator
from collections.abc import Callable
from functools import reduce
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from slo.columns import Column, Field, Kind, SpanBatch
from slo.regexes import full_matcher
from slo.traceql import Compare, Constant, Expression, Filter, Logic, Not, Operator

Mask = NDArray[np.bool_]

_LEAST, _MOST = -(2**63), 2**63 - 1
_COMPARE: dict[Operator, Callable[..., Mask]] = {
    "=": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le,
    ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def fields(which: Filter) -> frozenset[Field]:
    """Every field that a batch must have for the filter's mask."""
    return which.fields()


def mask(which: Filter, batch: SpanBatch) -> Mask:
    """`bool[n]`: the rows that the filter means. `Masks` shares work between several filters.

    Raises:
        KeyError: the batch was read without a field of the filter.
    """
    return Masks(batch).of(which)


class Masks:
    """The masks of one batch; each comparison is evaluated once however many filters have it.

    Example:
        >>> from slo.traceql import parse_filter
        >>> duration = Column(np.full(2, Kind.INT, np.uint8), np.array([1, 3 * 10**9]))
        >>> batch = SpanBatch(start_ns=np.zeros(2, np.uint64), end_ns=np.zeros(2, np.uint64),
        ...     columns={Field("intrinsic", "duration"): duration}, strings=[],
        ...     trace_ids=np.zeros((2, 16), np.uint8))
        >>> Masks(batch).of(parse_filter("{ duration > 2s }")).tolist()
        [False, True]
    """

    def __init__(self, batch: SpanBatch) -> None:
        self._batch = batch
        self._comparisons: dict[Compare, Mask] = {}
        self._columns: dict[tuple[Field, ...], Column] = {}

    def of(self, which: Filter) -> Mask:
        """`bool[n]`, the caller's to change.

        Raises:
            KeyError: the batch was read without a field of the filter.
        """
        return self._evaluate(which.expression).copy()

    def _evaluate(self, expression: Expression) -> Mask:
        match expression:
            case Constant(value):
                return np.full(len(self._batch), value)
            case Not(operand):
                return ~self._evaluate(operand)
            case Logic(op, operands):
                join = np.logical_and if op == "&&" else np.logical_or
                joined: Mask = reduce(join, (self._evaluate(operand) for operand in operands))
                return joined
            case Compare():
                known = self._comparisons.get(expression)
                if known is None:
                    known = self._comparisons[expression] = self._compare(expression)
                return known

    def _compare(self, comparison: Compare) -> Mask:
        column = self._column(comparison.fields)
        match comparison.kind:
            case Kind.NIL:
                return _COMPARE[comparison.operator](column.kinds, np.uint8(Kind.NIL))
            case Kind.STRING:
                return self._compare_strings(column, comparison.operator, str(comparison.value))
            case Kind.BOOL:
                bools = column.kinds == Kind.BOOL
                wanted = int(bool(comparison.value))
                fitting: Mask = bools & _COMPARE[comparison.operator](column.bits, wanted)
                return fitting
            case _:
                value = comparison.value
                if not isinstance(value, int | float):
                    raise TypeError(f"{comparison} is no comparison with a number")
                return _compare_numbers(column, comparison.operator, value)

    def _column(self, fields: tuple[Field, ...]) -> Column:
        if len(fields) == 1:
            return self._batch.columns[fields[0]]
        known = self._columns.get(fields)
        if known is None:
            first, *others = (self._batch.columns[f] for f in fields)
            for other in others:
                present = first.kinds != Kind.NIL
                first = Column(
                    np.where(present, first.kinds, other.kinds),
                    np.where(present, first.bits, other.bits),
                )
            known = self._columns[fields] = first
        return known

    def _compare_strings(self, column: Column, op: Operator, value: str) -> Mask:
        are_strings = column.kinds == Kind.STRING
        if op in ("=", "!="):
            same: Mask = are_strings & _COMPARE[op](column.bits, self._code(value))
            return same
        codes = column.bits if are_strings.all() else np.where(are_strings, column.bits, 0)
        table = self._table(codes[are_strings], op, value)
        fitting: Mask = are_strings & table[codes]
        return fitting

    def _code(self, value: str) -> int:
        """The index of a string among the batch's, -1 where no row has it."""
        try:
            return self._batch.strings.index(value)
        except ValueError:
            return -1

    def _table(self, codes: NDArray[np.int64], op: Operator, value: str) -> Mask:
        """`bool[strings]`: what the comparison says of each string in use, judged once each."""
        strings = self._batch.strings
        holds = _string_test(op, value)
        in_use = np.zeros(max(len(strings), 1), np.bool_)
        in_use[codes] = True
        table = np.zeros_like(in_use)
        for code in np.flatnonzero(in_use).tolist():
            table[code] = holds(strings[code])
        return table


def _string_test(op: Operator, value: str) -> Callable[[str], bool]:
    match op:
        case "=~":
            return full_matcher(value)
        case "!~":
            matches = full_matcher(value)
            return lambda text: not matches(text)
        case _:
            # Code points order texts as their UTF-8 bytes do, so this is Go's order too.
            compare = _COMPARE[op]
            return lambda text: bool(compare(text, value))


def _compare_numbers(column: Column, op: Operator, value: float) -> Mask:
    ints = column.kinds == Kind.INT
    floats = column.kinds == Kind.FLOAT
    has_floats = bool(floats.any())
    result: Mask = ints & _compare_ints(column.bits, op, value)
    if has_floats:
        result |= floats & _compare_floats(column.bits.view(np.float64), op, value)
    return result


def _compare_ints(bits: NDArray[np.int64], op: Operator, value: float) -> Mask:
    """`int64 op value`, exactly: never through a rounded float."""
    if isinstance(value, float):
        whole = floor(value)
        if whole != value:
            # No integer equals it; the order is that of the nearest integer on the right side.
            if op in ("=", "!="):
                return np.full(bits.shape, op == "!=")
            value = ceil(value) if op in ("<", ">=") else whole
        else:
            value = whole
    if _LEAST <= value <= _MOST:
        return _COMPARE[op](bits, np.int64(value))
    return np.full(bits.shape, bool(_COMPARE[op](0, value)))


def _compare_floats(values: NDArray[np.float64], op: Operator, value: float) -> Mask:
    """`float64 op value`, exactly, where an integer lies between two floats; NaN equals nothing."""
    nearest = float(value)
    if nearest == value:
        return _COMPARE[op](values, nearest)
    if op in ("=", "!="):
        return np.full(values.shape, op == "!=")
    # No float lies between the integer and its nearest float, so the float itself decides.
    if nearest < value:
        return values <= nearest if op in ("<", "<=") else values > nearest
    return values < nearest if op in ("<", "<=") else values >= nearest
