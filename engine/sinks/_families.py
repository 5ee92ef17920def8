"""Metric families as text: label text rendered once, values joined with it at each scrape."""

from collections.abc import Mapping, Sequence
from itertools import compress
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from prometheus_client import utils

from engine.telemetry.metrics import Series

Indices = NDArray[np.int64]
Floats = NDArray[np.float64]
# From here on Go writes an exponent where Python does not.
_EXPONENT = 1e6


class Texts(NamedTuple):
    """A family's header (without its last line's end) in the two formats."""

    plain: str
    openmetrics: str


class Family(NamedTuple):
    """Samples whose values are found at (rows, columns) of a matrix.

    Attributes:
        header: HELP and TYPE.
        heads: each sample up to its value, beginning with the end of the line before.
        rows: `int64[n]`.
        columns: `int64[n]`.
    """

    header: Texts
    heads: list[str]
    rows: Indices
    columns: Indices


class Builder:
    """Gathers the samples of a family."""

    def __init__(self, series: Series) -> None:
        self.series = series
        self._sample = sample_name(series)
        self._heads: list[str] = []
        self._rows: list[int] = []
        self._columns: list[int] = []

    def add(self, labels: str, row: int, column: int, suffix: str = "") -> None:
        """Add a sample; `suffix` is that of a histogram's part."""
        self._heads.append(f"\n{self._sample}{suffix}{labels} ")
        self._rows.append(row)
        self._columns.append(column)

    def build(self) -> Family:
        """The family."""
        rows = np.array(self._rows, np.int64)
        return Family(header(self.series), self._heads, rows, np.array(self._columns, np.int64))


def sample_name(series: Series) -> str:
    """The name of a family's samples."""
    return f"{series.name}_total" if series.type == "counter" else series.name


def header(series: Series) -> Texts:
    """HELP, TYPE and UNIT lines; the text format names a counter with `_total`."""
    name = sample_name(series)
    unit = f"\n# UNIT {series.name} {series.unit}" if series.unit else ""
    return Texts(
        f"# HELP {name} {series.help}\n# TYPE {name} {series.type}",
        f"# HELP {series.name} {series.help}\n# TYPE {series.name} {series.type}{unit}",
    )


def labels_text(labels: Mapping[str, str]) -> str:
    r"""Labels as in the exposition formats, sorted by name.

    >>> labels_text({"b": 'say "hi"', "a": "x"})
    '{a="x",b="say \\"hi\\""}'
    """
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{escape(labels[name])}"' for name in sorted(labels)) + "}"


def escape(value: str) -> str:
    """A label value's escapes: backslash, line feed, double quote."""
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


def go_float(value: float) -> str:
    """A value as Go and `prometheus_client` write it."""
    return str(utils.floatToGoString(value))  # type: ignore[no-untyped-call]  # it has no types


def format_values(values: Floats) -> list[str]:
    """Values as Go and `prometheus_client` write them; none of them is NaN or infinite."""
    texts = list(map(repr, values.tolist()))
    for at in np.flatnonzero(values >= _EXPONENT).tolist():
        texts[at] = go_float(values[at])
    return texts


def present(family: Family, matrix: Floats) -> tuple[list[str], Floats]:
    """The samples of a family that have a value (one that is not finite is none), and the values."""
    values = matrix[family.rows, family.columns]
    there = np.isfinite(values)
    if there.all():
        return family.heads, values
    return list(compress(family.heads, there.tolist())), values[there]


def render(family: Family, matrix: Floats, *, openmetrics: bool) -> str:
    """A family's lines, empty where it has no samples."""
    heads, found = present(family, matrix)
    if not heads:
        return ""
    values = format_values(found)
    parts = [""] * (2 * len(values))
    parts[::2] = heads
    parts[1::2] = values
    return f"{family.header.openmetrics if openmetrics else family.header.plain}{''.join(parts)}\n"


def render_fixed(
    series: Series, samples: Sequence[tuple[Mapping[str, str], float]], *, openmetrics: bool
) -> str:
    """A family whose samples are few or never change."""
    if not samples:
        return ""
    name = sample_name(series)
    lines = [f"\n{name}{labels_text(labels)} {go_float(v)}" for labels, v in samples]
    texts = header(series)
    return f"{texts.openmetrics if openmetrics else texts.plain}{''.join(lines)}\n"


def samples_of(text: str) -> tuple[list[str], Floats]:
    r"""The samples of rendered families: each up to its value, as `Family.heads` has them; the values.

    >>> samples_of("# TYPE a gauge\na 1.5\n")
    (['\na '], array([1.5]))
    """
    pairs = [line.rpartition(" ") for line in text.split("\n") if line and line[0] != "#"]
    values = np.array([float(value) for _, _, value in pairs], np.float64)
    return [f"\n{head} " for head, _, _ in pairs], values
