"""Rows of a series to rows with what the detector says of each."""

import math
from array import array
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dataflows.detect.choice import Observer
from detectors import Verdict
from engine.recordings.series_csv import Rows

HEADER = "timestamp,value,score,probability,expected,lower,upper,alert\n"


@dataclass(slots=True)
class Tally:
    """What came of one series.

    Attributes:
        rows: read.
        missing: rows without a value.
        infinite: rows whose value is infinite.
        repeated: rows with the time of the newest row before them.
        disordered: rows that are older than a row before them.
        learning: rows during which there was too little of the series to judge it by.
        alerts: episodes.
        first_alert: the timestamp of the first one's beginning, as it came.
        trouble: what the detector could not do, for people; empty in ordinary times.
    """

    rows: int = 0
    missing: int = 0
    infinite: int = 0
    repeated: int = 0
    disordered: int = 0
    learning: int = 0
    alerts: int = 0
    first_alert: str | None = None
    trouble: str = ""


class Course:
    """A series and its verdicts, kept whole for a picture; nine numbers a row."""

    def __init__(self) -> None:
        self._numbers = array("d")

    def add(self, at: float, value: float, verdict: Verdict) -> None:
        """Another row."""
        self._numbers.extend((at, value, *verdict))

    def columns(self) -> NDArray[np.float64]:
        """`float64[9, rows]`: at, value, and the fields of `Verdict` in their order."""
        return np.frombuffer(self._numbers, np.float64).reshape(-1, 2 + len(Verdict._fields)).T

    def __bool__(self) -> bool:
        return bool(self._numbers)


class Judge:
    """Judges the rows of one series in the order in which they stand.

    Time never goes back for the detector: a row that is not newer than those before it is judged as of
    the newest of them, and counted.

    Args:
        detector: one that has seen nothing.
        course: filled where it is given.

    Attributes:
        tally: of the rows judged so far.
    """

    def __init__(self, detector: Observer, course: Course | None = None) -> None:
        self.tally = Tally()
        self._detector = detector
        self.course = course
        self._newest = -math.inf
        self._alert = False

    def judge(self, rows: Rows) -> str:
        """The lines of the output for some rows, without the header."""
        tally, observe, course = self.tally, self._detector.observe, self.course
        lines: list[str] = []
        for time, shown, given, value in zip(
            rows.times, rows.shown, rows.at, rows.values, strict=True
        ):
            at = given
            if given <= self._newest:
                at = self._newest
                if given < at:
                    tally.disordered += 1
                else:
                    tally.repeated += 1
            self._newest = at
            verdict = observe(at, value)
            score, probability, expected, lower, upper, alert, learning = verdict
            if alert and not self._alert:
                tally.alerts += 1
                tally.first_alert = tally.first_alert or time
            self._alert = alert
            tally.learning += learning
            lines.append(
                f"{_quoted(time) if ',' in time else time},{shown},{score!r},{probability!r},"
                f"{_number(expected)},{_number(lower)},{_number(upper)},{alert:d}\n"
            )
            if course is not None:
                course.add(at, value, verdict)
        tally.rows += len(rows)
        tally.trouble = self._detector.trouble
        tally.missing += sum(map(math.isnan, rows.values))
        tally.infinite += sum(map(math.isinf, rows.values))
        return "".join(lines)


def _number(value: float) -> str:
    """Twelve digits; nothing for NaN."""
    return f"{value:.12g}" if value == value else ""  # noqa: PLR0124  NaN differs from itself


def _quoted(text: str) -> str:
    return f'"{text}"'
