"""One recorded series as CSV, read as a stream: rows are handed on as soon as they are there.

The first line has the names of the columns, of which one of time and one of values are read. The
separator (comma, semicolon, tab) and the form of the timestamps are taken from the first rows.
"""

import csv
import io
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from engine.recordings import _series_columns
from engine.recordings._series_lines import BadSeries, Lines
from engine.recordings._timestamps import MEND, Form, form_of

__all__ = ["BadSeries", "Rows", "SeriesReader"]

_MISSING = frozenset({"", "null", "none", "na", "n/a", "-"})


@dataclass(slots=True)
class Rows:
    """Some rows in the order of the file, an element each.

    Attributes:
        times: timestamps as they came.
        shown: values as they came; empty where there is none.
        at: Unix seconds.
        values: NaN where there is none.
    """

    times: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.times)


class SeriesReader:
    """Reads the header at once, the rows as they are asked for, in constant memory.

    Args:
        stream: the open file or pipe.
        name: what messages call it.
        time_column: its name; None for one of the usual.
        value_column: its name.
        heard: told the number of bytes of each piece that was read.

    Attributes:
        form: of the timestamps; None before the first row.

    Raises:
        BadSeries: the header can't be used.
    """

    def __init__(
        self,
        stream: io.BufferedIOBase,
        name: str,
        time_column: str | None = None,
        value_column: str = "value",
        heard: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.name = name
        self.form: Form | None = None
        self._first = ""
        self._lines = Lines(stream, name, heard)
        self._source = iter(self._lines)
        self._blank, head = self._first_line()
        separator = _series_columns.separator(head)
        self._records = csv.reader(
            self._chain(head), delimiter=separator, skipinitialspace=separator != "\t"
        )
        columns = [column.strip() for column in self._header()]
        times = (time_column,) if time_column else _series_columns.TIME_NAMES
        self._time = _series_columns.find(columns, times, "time", self._place())
        self._value = _series_columns.find(columns, (value_column,), "value", self._place())

    def _first_line(self) -> tuple[int, str]:
        for number, line in enumerate(self._source):
            if line.strip():
                return number, line
        raise BadSeries(f"{self.name}: empty; the first line names the columns: timestamp,value")

    def _chain(self, head: str) -> Iterator[str]:
        yield head
        yield from self._source

    def _header(self) -> list[str]:
        try:
            return next(self._records)
        except csv.Error as error:
            raise BadSeries(f"{self._place()}: {_no_csv(error)}") from error

    def _place(self) -> str:
        return f"{self.name}:{self._blank + self._records.line_num}"

    def batches(self) -> Iterator[Rows]:
        """The rows; as many at a time as can be had without waiting.

        Raises:
            BadSeries: a row can't be read; those before it were handed on.
        """
        rows = Rows()
        try:
            for fields in self._records:
                if fields:
                    self._add(rows, fields)
                if self._lines.waiting and rows:
                    yield rows
                    rows = Rows()
        except (BadSeries, csv.Error) as error:
            if rows:
                yield rows
            if isinstance(error, BadSeries):
                raise
            raise BadSeries(f"{self._place()}: {_no_csv(error)}") from error

    def _add(self, rows: Rows, fields: list[str]) -> None:
        try:
            time, shown = fields[self._time].strip(), fields[self._value].strip()
        except IndexError:
            raise BadSeries(
                f"{self._place()}: only {len(fields)} of the header's columns; "
                "complete the row or drop it"
            ) from None
        try:
            at = (self.form or self._learn_form(time)).seconds(time)
        except ValueError:
            raise BadSeries(f"{self._place()}: {self._no_time(time)}") from None
        try:
            value = _number(shown)
        except ValueError:
            raise BadSeries(f"{self._place()}: {_no_value(shown)}") from None
        rows.times.append(time)
        rows.shown.append(shown if value == value else "")  # noqa: PLR0124  NaN differs from itself
        rows.at.append(at)
        rows.values.append(value)

    def _learn_form(self, time: str) -> Form:
        self.form = form_of(time)
        self._first = time
        return self.form

    def _no_time(self, time: str) -> str:
        shown = _short(time)
        if self.form is None:
            return f"{shown} is no timestamp; {MEND}"
        return (
            f"{shown} is no timestamp like that of the first row "
            f"({self._first}, {self.form.name}); write all of them alike"
        )


def _no_csv(error: csv.Error) -> str:
    if "new-line character" in str(error):
        return "carriage returns inside a line; end lines with a line feed, as Unix or Windows do"
    return f"no CSV ({error}); write a row a line"


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def _number(shown: str) -> float:
    """NaN where a reading is missing."""
    if shown.lower() in _MISSING:
        return math.nan
    number = float(shown)
    if "_" in shown:  # 1_000 is a number in Python only
        raise ValueError
    return number


def _no_value(shown: str) -> str:
    mend = "write one, or nothing where a reading is missing"
    if re.fullmatch(r"[+-]?[0-9]+(,[0-9]+)+", shown):
        mend = "write a point before decimals and nothing between thousands"
    return f"{_short(shown)} is no number; {mend}"
