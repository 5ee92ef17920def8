"""Rows to verdicts: order, time, numbers, counts."""

import csv
import io
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflows.detect.choice import Choice, make
from dataflows.detect.judge import HEADER, Course, Judge
from dataflows.detect.report import notes
from detectors import Verdict
from engine.recordings.series_csv import Rows


class Told:
    """A detector that says what it is told, and remembers what it was asked."""

    trouble = ""

    def __init__(self, *verdicts: Verdict) -> None:
        self.verdicts = list(verdicts)
        self.asked: list[tuple[float, float]] = []

    def observe(self, at: float, value: float) -> Verdict:
        self.asked.append((at, value))
        return self.verdicts.pop(0)


QUIET = Verdict(0.25, 0.75, 5.0, 2.0, 8.0, alert=False, learning=False)
LOUD = QUIET._replace(score=1.0, probability=1e-9, alert=True)
LEARNING = Verdict(0.0, 1.0, math.nan, math.nan, math.nan, alert=False, learning=True)


def rows(*readings: tuple[str, str, float]) -> Rows:
    values = [float(shown or "nan") for _, shown, _ in readings]
    times, shown, at = ([reading[i] for reading in readings] for i in range(3))
    return Rows(times, shown, at, values)  # type: ignore[arg-type]


def test_a_line_for_each_row() -> None:
    judge = Judge(Told(LEARNING, QUIET, LOUD, LOUD))
    text = judge.judge(
        rows(("t1", "4.50", 1.0), ("t2", "", 2.0), ("t3", "1e3", 3.0), ("a,b", "inf", 4))
    )
    assert text == (
        "t1,4.50,0.0,1.0,,,,0\nt2,,0.25,0.75,5,2,8,0\nt3,1e3,1.0,1e-09,5,2,8,1\n"
        '"a,b",inf,1.0,1e-09,5,2,8,1\n'
    )
    tally = judge.tally
    assert (tally.rows, tally.learning, tally.missing, tally.infinite) == (4, 1, 1, 1)
    assert (tally.alerts, tally.first_alert) == (1, "t3")


def test_an_alert_is_an_episode_also_over_batches() -> None:
    judge = Judge(Told(LOUD, LOUD, LOUD, QUIET, LOUD))
    for number in range(5):
        judge.judge(rows((f"t{number}", "1", float(number))))
    assert (judge.tally.alerts, judge.tally.first_alert) == (2, "t0")


def test_what_a_detector_cannot_do_is_told() -> None:
    told = Told(QUIET)
    told.trouble = "the detector failed at 3 of them: ZeroDivisionError"
    judge = Judge(told)
    judge.judge(rows(("a", "1", 10.0)))
    assert told.trouble in list(notes(judge.tally))


def test_time_stands_still_for_rows_that_are_not_newer() -> None:
    told = Told(*[QUIET] * 6)
    judge = Judge(told)
    judge.judge(rows(("a", "1", 10.0), ("b", "2", 10.0), ("c", "3", 70.0), ("d", "4", 20.0)))
    judge.judge(rows(("e", "5", 70.0), ("f", "6", 130.0)))
    assert told.asked == [(10, 1), (10, 2), (70, 3), (70, 4), (70, 5), (130, 6)]
    assert (judge.tally.repeated, judge.tally.disordered) == (2, 1)


@given(
    st.lists(
        st.builds(
            Verdict,
            score=st.floats(0, 1),
            probability=st.floats(0, 1),
            expected=st.floats(),
            lower=st.floats(),
            upper=st.floats(),
            alert=st.booleans(),
            learning=st.booleans(),
        )
    )
)
def test_what_is_written_reads_back(verdicts: list[Verdict]) -> None:
    given_rows = rows(*((str(i), "1", float(i)) for i in range(len(verdicts))))
    course = Course()
    text = HEADER + Judge(Told(*verdicts), course).judge(given_rows)
    read = list(csv.DictReader(io.StringIO(text)))
    assert len(read) == len(verdicts)
    for line, verdict in zip(read, verdicts, strict=True):
        assert (float(line["score"]), float(line["probability"])) == verdict[:2]
        for name in ("expected", "lower", "upper"):
            number = float(line[name] or "nan")
            assert number == pytest.approx(getattr(verdict, name), rel=1e-11, nan_ok=True)
        assert line["alert"] == str(int(verdict.alert))
    if verdicts:
        at, _, score, *_, learning = course.columns()
        assert at.tolist() == given_rows.at
        assert score.tolist() == [verdict.score for verdict in verdicts]
        assert learning.tolist() == [verdict.learning for verdict in verdicts]


@given(
    values=st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=80),
    until=st.integers(0, 80),
)
def test_nothing_after_a_row_changes_it(values: list[float], until: int) -> None:
    """A stream that is cut gives the same lines, however its rows are handed on."""

    def lines(count: int, at_a_time: int) -> list[str]:
        judge = Judge(make(Choice(false_alarms=1 / 86_400)))
        text = ""
        for start in range(0, count, at_a_time):
            part = values[start : min(start + at_a_time, count)]
            text += judge.judge(
                rows(*((str(start + i), repr(v), 60.0 * (start + i)) for i, v in enumerate(part)))
            )
        return text.splitlines()

    count = min(until, len(values))
    assert lines(count, 80) == lines(len(values), 1)[:count]
