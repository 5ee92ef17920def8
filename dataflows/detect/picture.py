"""A series, what was expected of it, and its alerts, as a picture."""

import warnings
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from numpy.typing import NDArray

from dataflows.detect.judge import Course

Floats = NDArray[np.float64]
_PIECES = 1500  # as many pieces of time as the picture is wide in pixels
_SERIES, _EXPECTED, _BAND, _ALERT = "#1f3a5f", "#e08214", "#f2c48d", "#d7191c"
_DAY = 86_400.0


def draw(path: Path, title: str, course: Course) -> None:
    """Write a picture, in the format that the path ends with.

    Args:
        path: `.png` or `.svg`.
        title: what it shows.
        course: at least one row.

    Raises:
        OSError: the path can't be written.
    """
    at, value, _, probability, expected, lower, upper, alert, learning = course.columns()
    value = np.where(np.isfinite(value), value, np.nan)
    days = at / _DAY
    figure = Figure(figsize=(15, 5.6), layout="constrained")
    shown, strange = figure.subplots(
        2, 1, sharex=True, height_ratios=(4, 1), gridspec_kw={"hspace": 0.02}
    )
    pieces = _pieces(at)
    _line(shown, days, pieces, value, _SERIES, "value")
    _line(shown, days, pieces, expected, _EXPECTED, "expected")
    _band(shown, days, pieces, lower, upper)
    _alerts(shown, strange, days, alert)
    _learning(shown, strange, days, learning)
    _unusual(strange, days, pieces, probability)
    _look(shown, value, title)
    strange.set_xlim(days[0], max(days[-1], days[0] + 1e-6))
    shown.legend(
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        ncols=5,
        frameon=False,
        fontsize=9,
        borderaxespad=0.2,
        handlelength=1.5,
    )
    locator = AutoDateLocator(minticks=5, maxticks=12)
    strange.xaxis.set_major_locator(locator)
    strange.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    with mpl.rc_context({"svg.hashsalt": "burnline"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # of a title that the font lacks letters for
        figure.savefig(path, dpi=100, metadata={"Date": None} if path.suffix == ".svg" else None)


def _pieces(at: Floats) -> NDArray[np.intp]:
    """The rows at which pieces of equal time begin; every row where they are few."""
    if len(at) <= 2 * _PIECES:
        return np.arange(len(at))
    piece = (at - at[0]) * (_PIECES / max(at[-1] - at[0], 1e-9))
    return np.flatnonzero(np.diff(piece.astype(np.int64), prepend=-1))


def _line(
    axes: Axes, days: Floats, pieces: NDArray[np.intp], values: Floats, color: str, label: str
) -> None:
    """A line through the least and the greatest value of each piece, so that no spike is lost."""
    if len(pieces) < len(values):
        least = np.fmin.reduceat(values, pieces)
        most = np.fmax.reduceat(values, pieces)
        days, values = np.repeat(days[pieces], 2), np.column_stack((least, most)).ravel()
    axes.plot(days, values, color=color, linewidth=0.8, label=label)


def _band(axes: Axes, days: Floats, pieces: NDArray[np.intp], lower: Floats, upper: Floats) -> None:
    axes.fill_between(
        days[pieces],
        np.fmin.reduceat(lower, pieces),
        np.fmax.reduceat(upper, pieces),
        color=_BAND,
        alpha=0.55,
        linewidth=0,
        label="not an alarm",
    )


def _alerts(shown: Axes, strange: Axes, days: Floats, alert: Floats) -> None:
    """Episodes shaded, at least two pixels wide, with a mark where they begin."""
    edges = np.flatnonzero(np.diff(alert > 0, prepend=False, append=False)).reshape(-1, 2)
    least = (days[-1] - days[0]) / _PIECES * 2
    for begin, end in edges:
        stop = max(days[min(end, len(days) - 1)], days[begin] + least)
        for axes in (shown, strange):
            axes.axvspan(days[begin], stop, color=_ALERT, alpha=0.28, linewidth=0)
    if len(edges):
        begins = days[edges[:, 0]]
        across = shown.get_xaxis_transform()
        tops = np.full(len(begins), 0.985)
        shown.plot(begins, tops, "v", color=_ALERT, transform=across, clip_on=False, label="alert")


def _learning(shown: Axes, strange: Axes, days: Floats, learning: Floats) -> None:
    rows = np.flatnonzero(learning)
    if len(rows):
        for axes, label in ((shown, "learning"), (strange, None)):
            axes.axvspan(days[0], days[rows[-1]], color="0.5", alpha=0.12, linewidth=0, label=label)


def _unusual(axes: Axes, days: Floats, pieces: NDArray[np.intp], probability: Floats) -> None:
    """How unusual each reading is: once in so many."""
    once_in = np.fmax.reduceat(1 / np.clip(probability, 1e-12, 1), pieces)
    axes.fill_between(days[pieces], 1, once_in, color="0.35", linewidth=0, step="mid")
    axes.set_yscale("log")
    axes.set_ylim(1, max(1e4, once_in.max() * 2))
    axes.set_ylabel("once in\n… readings", fontsize=9)
    axes.grid(axis="y", color="0.9", linewidth=0.6)
    axes.tick_params(labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)


def _look(axes: Axes, value: Floats, title: str) -> None:
    """The series fills the picture; a band that is far wider is cut."""
    there = value[~np.isnan(value)]
    if len(there):
        low, high = float(there.min()), float(there.max())
        room = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
        axes.set_ylim(low - room, high + 2 * room)
    axes.set_title(title, loc="left", fontsize=11, parse_math=False)
    axes.grid(axis="y", color="0.9", linewidth=0.6)
    axes.tick_params(labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)
