"""NAB's own scorer, run beside the project on scores that are written in its format."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from benchmarks.detection.nab import MUTE, Sweep, detections, probation
from benchmarks.detection.series import Series
from detectors.verdict import Floats

_NULL = "null"  # the detector that NAB normalises by


def in_unit(scores: Sequence[Floats]) -> list[Floats]:
    """The same order in [0, 1], which NAB asks for; scores that are there already stay as they are."""
    if all(score.min() >= 0 and score.max() <= 1 for score in scores):
        return list(scores)
    ranked = np.unique(np.concatenate(scores))
    return [np.searchsorted(ranked, score) / max(len(ranked) - 1, 1) for score in scores]


def thinned(scores: Sequence[Floats], sweep: Sweep, mute: int = MUTE) -> list[Floats]:
    """1 at the detections of the best threshold, none within `mute` readings of another; 0 elsewhere."""
    threshold = float(sweep.thresholds[sweep.best()])
    out = []
    for score in scores:
        flags = np.zeros(len(score))
        flags[detections(score, threshold, mute, probation(len(score)))] = 1.0
        out.append(flags)
    return out


def write(
    directory: Path, detector: str, series: Sequence[Series], scores: Sequence[Floats]
) -> None:
    """Scores of a detector as NAB has them: `DIRECTORY/DETECTOR/FOLDER/DETECTOR_FILE.csv`.

    Args:
        directory: of the results of all detectors; made if it is not there.
        detector: its name, without an underscore (NAB splits at them).
        series: NAB's files.
        scores: of each, in [0, 1].

    Raises:
        ValueError: the name has an underscore.
    """
    if "_" in detector:
        raise ValueError(f"NAB cannot have an underscore in a detector's name: {detector}")
    for one, score in zip(series, scores, strict=True):
        folder, file = one.name.split("/")
        path = directory / detector / folder / f"{detector}_{file}"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="") as out:
            writer = csv.writer(out)
            writer.writerow(["timestamp", "value", "anomaly_score", "label"])
            label = one.label.astype(int).tolist()
            rows = zip(one.stamps, one.values.tolist(), score.tolist(), label, strict=True)
            writer.writerows(rows)


def score(
    nab: Path, directory: Path, series: Sequence[Series], detectors: Sequence[str]
) -> Mapping[str, Mapping[str, float]]:
    """Let NAB choose thresholds and score, by detector and profile.

    Args:
        nab: a checkout of github.com/numenta/NAB.
        directory: where `write` wrote; NAB adds its own files there.
        series: NAB's files.
        detectors: that were written.

    Raises:
        SystemExit: NAB could not; with what it said.
    """
    write(directory, _NULL, series, [np.full(len(one.values), 0.5) for one in series])
    thresholds = directory / "thresholds.json"
    thresholds.write_text("{}")
    command = [_python(nab), "run.py", "--optimize", "--score", "--normalize", "--skipConfirmation"]
    paths = [
        "--resultsDir",
        str(directory.resolve()),
        "--thresholdsFile",
        str(thresholds.resolve()),
    ]
    names = ["--numCPUs", "1", "--detectors", _NULL, *detectors]
    ran = subprocess.run(
        [*command, *paths, *names], cwd=nab, capture_output=True, text=True, check=False
    )
    results = directory / "final_results.json"
    if ran.returncode or not results.exists():
        raise SystemExit(
            f"NAB's scorer in {nab} failed with {command[0]}; it needs pandas before 3, scikit-learn and "
            f"simplejson, and NAB_PYTHON can name a Python that has them. It said:\n{ran.stderr[-2000:]}"
        )
    found: dict[str, dict[str, float]] = json.loads(results.read_text())
    return {name: found[name] for name in detectors}


def _python(nab: Path) -> str:
    """The one that NAB_PYTHON names, else that of a .venv in the checkout, else ours."""
    own = nab / ".venv" / "bin" / "python"
    return os.environ.get("NAB_PYTHON") or (str(own) if own.exists() else sys.executable)
