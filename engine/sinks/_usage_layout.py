"""What model calls used, as series: the totals of all shards as rows of two matrices, and their labels."""

from collections.abc import Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from engine.sinks._families import Builder, Family, Floats, Indices, go_float, labels_text
from engine.telemetry import metrics
from slo.usage.messages import (
    DURATION_US,
    DURATIONS,
    EDGES,
    ERROR,
    FIRST_TOKEN_US,
    FIRST_TOKENS,
    MOST,
    NANODOLLARS,
    OK,
    PRICED,
    TOKEN_TYPES,
    TOKENS,
    WIDTH,
    CallKey,
    Counts,
    NoteKey,
    UsageTotals,
)

_INPUT_OUTPUT = 2  # shown of every series; the other types where there are any
_BUCKETS = len(EDGES) + 1
_EDGE_TEXTS = [*map(go_float, EDGES), "+Inf"]

K = TypeVar("K")


class _Rows(NamedTuple, Generic[K]):
    """The series of all shards, each once.

    Attributes:
        keys: the series.
        slots: of each shard's totals, the rows of its keys.
    """

    keys: tuple[K, ...]
    slots: tuple[Indices, ...]

    def sums(self, counts: Sequence[Counts], width: int) -> Counts:
        """The shards' counts by row; a series that has overflowed is in several of them."""
        total = np.zeros((len(self.keys), width), np.int64)
        for slots, count in zip(self.slots, counts, strict=True):
            # A shard has a series once.
            total[slots] = np.minimum(total[slots] + count, MOST)
        return total


class UsageLayout(NamedTuple):
    """The rows and texts of a set of series.

    Attributes:
        seen: the keys of each shard, to see when they change.
        calls: the series of calls.
        notes: those of notes.
        of_calls: families over the matrix of calls.
        of_notes: over that of notes.
    """

    seen: tuple[tuple[object, object], ...]
    calls: _Rows[CallKey]
    notes: _Rows[NoteKey]
    of_calls: tuple[Family, ...]
    of_notes: tuple[Family, ...]

    def fits(self, usage: Sequence[UsageTotals]) -> bool:
        """Whether this is still the layout of these totals."""
        return len(usage) == len(self.seen) and all(
            each.keys is calls and each.notes is notes
            for each, (calls, notes) in zip(usage, self.seen, strict=True)
        )


def lay_out_usage(usage: Sequence[UsageTotals]) -> UsageLayout:
    """Number the series, in the order of their labels, and render these."""
    calls = _number([each.keys for each in usage])
    notes = _number([each.notes for each in usage])
    return UsageLayout(
        tuple((each.keys, each.notes) for each in usage),
        calls,
        notes,
        tuple(builder.build() for builder in _call_families(calls.keys)),
        tuple(builder.build() for builder in _note_families(notes.keys)),
    )


def usage_matrices(layout: UsageLayout, usage: Sequence[UsageTotals]) -> tuple[Floats, Floats]:
    """The values of a layout's families, NaN where nothing is shown.

    Returns:
        `float64[calls, WIDTH]`, buckets cumulative, dollars and seconds as such; `float64[notes, 1]`.
    """
    counts = layout.calls.sums([each.counts for each in usage], WIDTH)
    values = counts.astype(np.float64)
    for first in (DURATIONS, FIRST_TOKENS):
        buckets = values[:, first : first + _BUCKETS]
        np.cumsum(buckets, axis=1, out=buckets)
    values[:, [DURATION_US, FIRST_TOKEN_US]] /= 1e6
    values[:, NANODOLLARS] /= 1e9
    values[counts[:, PRICED] == 0, NANODOLLARS] = np.nan
    streamed = values[:, FIRST_TOKENS + _BUCKETS - 1] > 0
    first_tokens = [FIRST_TOKEN_US, *range(FIRST_TOKENS, FIRST_TOKENS + _BUCKETS)]
    values[np.ix_(~streamed, first_tokens)] = np.nan
    details = values[:, TOKENS + _INPUT_OUTPUT : TOKENS + len(TOKEN_TYPES)]
    details[details == 0] = np.nan
    noted = layout.notes.sums([each.noted[:, None] for each in usage], 1)
    return values, noted.astype(np.float64)


def _number(keys: Sequence[tuple[Any, ...]]) -> _Rows[Any]:
    rows = sorted({key for each in keys for key in each})
    numbers = {key: number for number, key in enumerate(rows)}
    slots = tuple(np.array([numbers[key] for key in each], np.int64) for each in keys)
    return _Rows(tuple(rows), slots)


def _call_families(keys: Sequence[CallKey]) -> list[Builder]:
    requests = Builder(metrics.LLM_REQUESTS)
    durations = Builder(metrics.LLM_DURATION)
    first_tokens = Builder(metrics.LLM_FIRST_TOKEN)
    tokens = Builder(metrics.LLM_TOKENS)
    cost = Builder(metrics.LLM_COST)
    for row, key in enumerate(keys):
        labels = _labels(key._asdict())
        requests.add(labels_text(labels | {"status": "ok"}), row, OK)
        requests.add(labels_text(labels | {"status": "error"}), row, ERROR)
        _add_histogram(durations, labels, row, DURATIONS, DURATION_US)
        _add_histogram(first_tokens, labels, row, FIRST_TOKENS, FIRST_TOKEN_US)
        for number, name in enumerate(TOKEN_TYPES):
            tokens.add(labels_text(labels | {"type": name}), row, TOKENS + number)
        cost.add(labels_text(labels), row, NANODOLLARS)
    return [requests, durations, first_tokens, tokens, cost]


def _add_histogram(
    builder: Builder, labels: Mapping[str, str], row: int, buckets: int, total: int
) -> None:
    for number, edge in enumerate(_EDGE_TEXTS):
        builder.add(labels_text({**labels, "le": edge}), row, buckets + number, "_bucket")
    text = labels_text(labels)
    builder.add(text, row, buckets + len(EDGES), "_count")
    builder.add(text, row, total, "_sum")


def _note_families(keys: Sequence[NoteKey]) -> list[Builder]:
    named = {
        "error": (Builder(metrics.LLM_ERRORS), "error_type"),
        "unpriced": (Builder(metrics.LLM_UNPRICED), "reason"),
    }
    for row, key in enumerate(keys):
        builder, name = named[key.kind]
        fields = key._asdict()
        del fields["kind"]
        fields[name] = fields.pop("value")
        builder.add(labels_text(_labels(fields)), row, 0)
    return [builder for builder, _ in named.values()]


def _labels(fields: Mapping[str, str]) -> dict[str, str]:
    """Empty ones are left out, as an empty label is none."""
    return {name: value for name, value in fields.items() if value}
