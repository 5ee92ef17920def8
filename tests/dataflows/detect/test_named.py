"""river's detectors over a series: named, with parameters, held to the budget."""

import math
import random
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dataflows.cli import main
from dataflows.detect.choice import Choice, make, problem
from dataflows.detect.named import SPACING_READINGS
from tests.dataflows.detect.test_command import series, starts, table

PIPELINE = "river.preprocessing.MinMaxScaler | river.anomaly.HalfSpaceTrees"


def run(*arguments: str, rows: int = 1000) -> Result:
    return CliRunner().invoke(main, ["detect", "--input", "-", *arguments], input=series(rows))


@pytest.mark.parametrize(
    "arguments",
    [
        ("river.anomaly.GaussianScorer",),
        ("river.anomaly.GaussianScorer", "--parameter", "window_size=500"),
        (
            PIPELINE,
            *("--parameter", "river.anomaly.HalfSpaceTrees.seed=1"),
            *("--parameter", "river.anomaly.HalfSpaceTrees.window_size=100"),
        ),
    ],
)
def test_a_named_detector_finds_what_is_strange(arguments: tuple[str, ...]) -> None:
    ran = run("--false-alarms", "1/day", "--detector", *arguments)
    assert ran.exit_code == 0, ran.output
    rows = table(ran.stdout)
    scores = [float(row["score"]) for row in rows]
    assert sum(score < scores[900] for score in scores[400:900]) > 480
    if "Gaussian" in arguments[0]:  # a forest of half-spaces has a most that it can say
        assert any(begin.startswith("2026-03-01T15:0") for begin in starts(rows))
    assert {row["probability"] for row in rows[: SPACING_READINGS - 1]} == {"1.0"}
    assert len(starts(rows)) <= 3


def test_the_spacing_is_learned_or_told() -> None:
    """Learned, it is as if it had been told, but for the first readings."""
    learned = make(Choice(1 / 86_400, detector="river.anomaly.GaussianScorer"))
    told = make(Choice(1 / 86_400, 60.0, "river.anomaly.GaussianScorer"))
    noise = random.Random(1)
    for number in range(400):
        at, value = 60.0 * number, noise.gauss(0, 1)
        verdicts = [detector.observe(at, value) for detector in (learned, told)]
        if number >= SPACING_READINGS:
            assert repr(verdicts[0]) == repr(verdicts[1])


def test_readings_at_one_moment_and_missing_ones() -> None:
    detector = make(Choice(1 / 86_400, detector="river.anomaly.GaussianScorer"))
    for value in [math.nan, math.inf, 1.0] * 40:
        assert detector.observe(5.0, value).score >= 0
    assert detector.trouble == ""


@pytest.mark.parametrize(
    ("text", "value"),
    [("10", 10), ("1e-3", 0.001), ("true", True), ("[0.1, 0.9]", [0.1, 0.9]), ("rbf", "rbf")],
)
def test_values_of_parameters(text: str, value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Choice] = []

    def refuse(choice: Choice) -> str:
        seen.append(choice)
        return "no"

    monkeypatch.setattr("dataflows.detect.choice.problem", refuse)
    run("--detector", "x", "--parameter", f"a={text}", "--parameter", "b=2")
    run("--detector", "x | y", "--parameter", f"x.a={text}", "--parameter", "x.b=2")
    assert [choice.parameters for choice in seen] == [
        {"a": value, "b": 2},
        {"x": {"a": value, "b": 2}},
    ]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            "--detector river.anomaly.HalfSpaceTree",
            "there is no `river.anomaly.HalfSpaceTree`; did you mean `river.anomaly.HalfSpaceTrees`?",
        ),
        (
            "--detector river.anomaly.GaussianScorer --parameter size=5",
            "`river.anomaly.GaussianScorer` has no parameter `size`",
        ),
        ("--detector os.system", "there is no `os.system`"),
        (
            "--parameter n_trees=5",
            "the default detector has no parameters; name one with --detector",
        ),
        ("--parameter n_trees", "'n_trees' sets nothing; write a name and a value: n_trees=10"),
        ("--parameter =5", "'=5' sets nothing; write a name and a value: n_trees=10"),
        ("--parameter x=[1", "'[1' is no value; write it as in YAML"),
    ],
)
def test_mistakes(arguments: str, says: str) -> None:
    ran = run(*arguments.split())
    assert (ran.exit_code, ran.stdout) == (2, "")
    assert says in ran.stderr


def test_the_default_has_no_problem() -> None:
    assert problem(Choice(1.0)) is None
