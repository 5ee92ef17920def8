"""Pictures of series: they are made of anything, and lose no spike."""

import math
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from dataflows.detect.judge import Course
from dataflows.detect.picture import _line, _pieces, draw
from detectors import Verdict

NAN = math.nan


def course(values: list[float], every: float = 60.0, *, band: bool = True) -> Course:
    made = Course()
    for number, value in enumerate(values):
        learning = number < 30 or not band
        spread = (NAN, NAN, NAN) if learning else (value, value - 1, value + 1)
        alert = 100 <= number < 110
        verdict = Verdict(0.5, 1e-6 if alert else 0.5, *spread, alert=alert, learning=learning)
        made.add(1.4e9 + every * number, value, verdict)
    return made


COURSES = {
    "usual": course([math.sin(i / 50) for i in range(2000)]),
    "long": course([math.sin(i / 500) for i in range(20_000)]),
    "one": course([1.0]),
    "nothing but missing": course([NAN] * 50),
    "infinite": course([1.0, math.inf, -math.inf, 2.0] * 20),
    "constant": course([0.0] * 200),
    "huge": course([1e300, -1e300] * 100),
    "at one moment": course([1.0, 2.0, 3.0] * 50, every=0.0),
    "far apart": course([1.0, 2.0] * 100, every=86_400 * 400),
    "never learned": course([1.0, 2.0] * 100, band=False),
}


@pytest.mark.parametrize("case", COURSES)
@pytest.mark.parametrize("ending", [".png", ".svg"])
def test_pictures_of_anything(tmp_path: Path, case: str, ending: str) -> None:
    path = tmp_path / f"picture{ending}"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        draw(path, r"$a_b$ \frac{ 系列", COURSES[case])
    data = path.read_bytes()
    if ending == ".png":
        assert data.startswith(b"\x89PNG")
        width, height = struct.unpack(">II", data[16:24])
        assert (width, height) == (1500, 560)
    else:
        assert b"<svg" in data[:1000]


def test_a_picture_of_many_points_is_small(tmp_path: Path) -> None:
    path = tmp_path / "long.svg"
    draw(path, "long", COURSES["long"])
    assert path.stat().st_size < 1 << 20


def test_no_spike_is_lost() -> None:
    at = np.arange(100_000.0)
    values = np.zeros(len(at))
    values[[17, 50_000, 99_999]] = 5, -7, 9
    axes = Figure().subplots()
    _line(axes, at, _pieces(at), values, "black", "value")
    (line,) = axes.get_lines()
    assert len(line.get_xdata()) < 4000
    assert {5, -7, 9} <= set(np.asarray(line.get_ydata()).tolist())


def test_few_rows_are_all_drawn() -> None:
    at = np.array([0.0, 1.0, 1.0, 1e6])
    assert _pieces(at).tolist() == [0, 1, 2, 3]
