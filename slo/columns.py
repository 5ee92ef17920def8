"""Columns: what is left of a batch of spans once only the fields that the SLOs name are kept.

A batch has `n` rows, one a span. A `Column` holds one field of every row as two arrays, so that
selectors become masks (`slo.masks`) and grouping becomes integer work; no span ever is an object.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Scope = Literal["intrinsic", "resource", "span"]
INTRINSICS = ("name", "kind", "status", "duration")


class Field(NamedTuple):
    """A field of a span: an attribute (`resource.…`, `span.…`) or an intrinsic (`duration`)."""

    scope: Scope
    name: str

    def __str__(self) -> str:
        return self.name if self.scope == "intrinsic" else f"{self.scope}.{self.name}"


class Kind(IntEnum):
    """What a row of a column holds.

    `OTHER` (array, map, bytes, empty value) is present but compares with nothing.
    """

    NIL = 0
    STRING = 1
    INT = 2
    FLOAT = 3
    BOOL = 4
    OTHER = 5


class Column(NamedTuple):
    """One field of every row.

    Attributes:
        kinds: `uint8[n]`, a `Kind` each.
        bits: `int64[n]`: a STRING's index into the batch's `strings`, an INT's value, a FLOAT's
            IEEE 754 bits (`bits.view(np.float64)`), a BOOL's 0 or 1, otherwise 0.
    """

    kinds: NDArray[np.uint8]
    bits: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class SpanBatch:
    """A batch of spans as columns.

    Attributes:
        start_ns: `uint64[n]`, Unix nanoseconds as on the wire.
        end_ns: `uint64[n]`; a span counts in the bucket in which it ended.
        columns: attributes only, for every attribute `Field` that was asked for, and the
            intrinsics asked for: `name` (STRING), `kind` and `status` (INT, the OTLP enum's
            number), `duration` (INT, nanoseconds: end - start, negative where clocks disagree).
        strings: what STRING bits point into; each distinct string stands once.
        trace_ids: `uint8[n, 16]`, zeros where absent or not of 16 bytes.
    """

    start_ns: NDArray[np.uint64]
    end_ns: NDArray[np.uint64]
    columns: Mapping[Field, Column]
    strings: Sequence[str]
    trace_ids: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.end_ns)
