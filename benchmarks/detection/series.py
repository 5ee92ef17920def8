"""Labelled series, read in place: they are no part of the project."""

import csv
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from detectors.verdict import Bools, Floats

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
Window = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Series:
    """A series and its incidents.

    Attributes:
        name: its file, relative to the collection.
        at: Unix seconds of the readings.
        values: NaN where a reading is missing.
        windows: first and last reading of each incident, ascending.
        stamps: the time stamps as the file has them.
    """

    name: str
    at: Floats
    values: Floats
    windows: tuple[Window, ...]
    stamps: tuple[str, ...] = ()

    @property
    def group(self) -> str:
        """The folder it is in."""
        return self.name.split("/")[0]

    @property
    def every(self) -> float:
        """Seconds from a reading to the next."""
        return float(np.median(np.diff(self.at)))

    @property
    def days(self) -> float:
        """From the first reading to the last."""
        return float(self.at[-1] - self.at[0]) / 86_400

    @property
    def label(self) -> Bools:
        """Which readings are in an incident."""
        label = np.zeros(len(self.values), np.bool_)
        for first, last in self.windows:
            label[first : last + 1] = True
        return label


def runs(label: Bools) -> tuple[Window, ...]:
    """First and last of each stretch that is true.

    >>> runs(np.array([True, True, False, True]))
    ((0, 1), (3, 3))
    """
    edges = np.diff(np.concatenate([[0], label.astype(np.int8), [0]]))
    firsts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    return tuple((int(a), int(b) - 1) for a, b in zip(firsts, ends, strict=True))


def operational(data: Path = DATA) -> list[Series]:
    """The labelled cloud metrics and one-minute KPIs; none where they are absent."""
    return [_operational(path, data / "ops") for path in sorted((data / "ops").glob("*/*.csv"))]


def _operational(path: Path, root: Path) -> Series:
    rows = _rows(path)
    return Series(
        name=str(path.relative_to(root)),
        at=np.array([float(row[0]) for row in rows]),
        values=np.array([float(row[1]) if row[1] else np.nan for row in rows]),
        windows=runs(np.array([row[2] == "1" for row in rows])),
    )


def numenta(data: Path = DATA) -> list[Series]:
    """The Numenta Anomaly Benchmark's 58 files; none where they are absent."""
    labels = data / "nab" / "labels" / "combined_windows.json"
    if not labels.exists():
        return []
    return [
        _numenta(data / "nab" / "data" / name, name, windows)
        for name, windows in sorted(json.loads(labels.read_text()).items())
    ]


def _numenta(path: Path, name: str, windows: list[tuple[str, str]]) -> Series:
    rows = _rows(path)
    stamps = tuple(row[0] for row in rows)

    def place(stamp: str) -> int:
        return stamps.index(stamp.removesuffix(".000000"))

    return Series(
        name=name,
        at=np.array([datetime.fromisoformat(s).replace(tzinfo=UTC).timestamp() for s in stamps]),
        values=np.array([float(row[1]) for row in rows]),
        windows=tuple((place(first), place(last)) for first, last in windows),
        stamps=stamps,
    )


def _rows(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file))[1:]
