"""Batches of span columns, and the plain rows that they stand for."""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from slo.columns import Column, Field, Kind, SpanBatch

FIELDS = (
    Field("span", "a"),
    Field("span", "b"),
    Field("resource", "a"),
    Field("intrinsic", "duration"),
    Field("intrinsic", "name"),
    Field("intrinsic", "status"),
    Field("intrinsic", "kind"),
)
TEXTS = ("", "a", "b", "ab", "gpt-4o", "é", "\U0001f600", "x\ny", "error", "2")
INTS = (0, 1, 2, -1, 10**9, 2 * 10**9, 2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63))
FLOATS = (0.0, -0.0, 1.0, 0.5, 1e9, 2.0**53, float("nan"), float("inf"), -float("inf"), 1e300)
OTHER = object()

# None is an absent attribute, OTHER an array or the like.
attribute_values = st.one_of(
    st.none(),
    st.just(OTHER),
    st.booleans(),
    st.sampled_from(TEXTS),
    st.sampled_from(INTS),
    st.integers(-(2**63), 2**63 - 1),
    st.sampled_from(FLOATS),
    st.floats(),
)
_INTRINSICS = {
    "duration": st.one_of(st.sampled_from(INTS), st.integers(-(2**63), 2**63 - 1)),
    "name": st.sampled_from(TEXTS),
    "status": st.integers(-1, 4),
    "kind": st.integers(-1, 7),
}


@dataclass(frozen=True)
class Spans:
    """A batch, and each row's value by field."""

    batch: SpanBatch
    rows: list[dict[Field, object]]


@st.composite
def spans(draw: st.DrawFn, max_rows: int = 8) -> Spans:
    """A batch whose columns mix all kinds of values."""
    n = draw(st.integers(0, max_rows))
    rows: list[dict[Field, object]] = [{} for _ in range(n)]
    strings: list[str] = draw(st.lists(st.sampled_from(TEXTS), unique=True))
    columns = {}
    for field in FIELDS:
        values = _INTRINSICS[field.name] if field.scope == "intrinsic" else attribute_values
        column = [draw(values) for _ in range(n)]
        for row, value in zip(rows, column, strict=True):
            row[field] = value
        columns[field] = encode(column, strings)
    batch = SpanBatch(
        start_ns=np.zeros(n, np.uint64),
        end_ns=np.zeros(n, np.uint64),
        columns=columns,
        strings=strings,
        trace_ids=np.zeros((n, 16), np.uint8),
    )
    return Spans(batch, rows)


def encode(values: list[object], strings: list[str]) -> Column:
    """A column of Python values; texts that `strings` lacks are added to it."""
    kinds = np.zeros(len(values), np.uint8)
    bits = np.zeros(len(values), np.int64)
    for i, value in enumerate(values):
        match value:
            case None:
                kinds[i] = Kind.NIL
            case bool():
                kinds[i], bits[i] = Kind.BOOL, int(value)
            case str():
                if value not in strings:
                    strings.append(value)
                kinds[i], bits[i] = Kind.STRING, strings.index(value)
            case int():
                kinds[i], bits[i] = Kind.INT, value
            case float():
                kinds[i], bits[i] = Kind.FLOAT, np.float64(value).view(np.int64)
            case _:
                kinds[i] = Kind.OTHER
    return Column(kinds, bits)
