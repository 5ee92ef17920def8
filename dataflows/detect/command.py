"""The command `burnline detect` and its options."""

import os
import re
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click
import yaml

from dataflows.options import Duration
from slo.rates import parse_rate

if TYPE_CHECKING:
    from dataflows.detect.choice import Choice
    from dataflows.detect.paths import Job
    from dataflows.detect.run import Outcome

# YAML 1.1 takes 1e-3 for text.
_EXPONENT = re.compile(r"[+-]?[0-9.]+[eE][+-]?[0-9]+")


class Rate(click.ParamType[float]):
    """A rate such as `1 per week`, a second."""

    name = "rate"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Events a second."""
        if isinstance(value, float):
            return value
        try:
            return parse_rate(str(value))
        except ValueError as error:
            raise self.fail(str(error), param, ctx) from error


class Parameter(click.ParamType[tuple[str, object]]):
    """NAME=VALUE, the value as YAML has it."""

    name = "name=value"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, object]:
        """The name, and the value."""
        if isinstance(value, tuple):
            return value
        name, equals, text = str(value).partition("=")
        if not equals or not name.strip():
            self.fail(f"{value!r} sets nothing; write a name and a value: n_trees=10", param, ctx)
        try:
            return name.strip(), float(text) if _EXPONENT.fullmatch(text) else yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise self.fail(f"{text!r} is no value; write it as in YAML", param, ctx) from error


@click.command()
@click.option(
    "--input",
    "source",
    required=True,
    metavar="FILE|DIR|-",
    type=click.Path(path_type=Path),
    help="CSV with a column of time and one of values; a directory of them; - for standard input.",
)
@click.option(
    "--output",
    "target",
    metavar="FILE|DIR|-",
    type=click.Path(path_type=Path),
    help="Where to write; standard output by default. For a directory: a directory.",
)
@click.option(
    "--false-alarms",
    type=Rate(),
    default="1/week",
    show_default=True,
    help="How many you accept of each series, such as '1 per week', 2/day or '1 per 30d'.",
)
@click.option(
    "--plot",
    "picture",
    metavar="FILE|DIR",
    type=click.Path(path_type=Path),
    help="Draw a picture, .png or .svg. For a directory: a directory.",
)
@click.option(
    "--every", type=Duration(), help="Time between readings; learned from them by default."
)
@click.option("--time-column", help="Its name; timestamp, time, ts, date or datetime by default.")
@click.option("--value-column", default="value", show_default=True, help="Its name.")
@click.option(
    "--detector",
    default="default",
    show_default=True,
    metavar="NAME",
    help="A river detector or pipeline instead: 'river.preprocessing.MinMaxScaler | "
    "river.anomaly.HalfSpaceTrees'.",
)
@click.option(
    "--parameter",
    "parameters",
    type=Parameter(),
    multiple=True,
    help="Of the detector, such as n_trees=10; may be repeated. In a pipeline the step stands before: "
    "river.anomaly.HalfSpaceTrees.n_trees=10.",
)
@click.option(
    "--jobs", type=click.IntRange(min=1), help="Processes for a directory; one a core by default."
)
@click.option("--quiet", is_flag=True, help="Say nothing but what is wrong.")
def detect(
    source: Path,
    target: Path | None,
    picture: Path | None,
    false_alarms: float,
    every: float | None,
    time_column: str | None,
    value_column: str,
    detector: str,
    parameters: tuple[tuple[str, object], ...],
    jobs: int | None,
    *,
    quiet: bool,
) -> None:
    """Find anomalies in recorded series, row by row, with nothing to set or train.

    Reads CSV with a header and a column of time (ISO 8601, or Unix time in s, ms, µs or ns) and one of
    values, at any spacing; other columns are ignored. Writes timestamp, value, score, probability,
    expected, lower, upper and alert, a row for each row as soon as it is read.

    \b
      burnline detect --input cpu.csv --output scored.csv --plot cpu.png
      tail -n +1 -f cpu.csv | burnline detect --input -
      burnline detect --input series/ --output scored/ --false-alarms "1 per 30d"
    """  # noqa: D301  click's own mark for lines that are not to be wrapped
    from dataflows.detect import paths  # noqa: PLC0415  commands import what they use
    from dataflows.detect.choice import Choice, problem  # noqa: PLC0415

    if picture and find_spec("matplotlib") is None:
        _fail("pictures need matplotlib; install it with: pip install 'burnline[plot]'")
    choice = Choice(
        false_alarms, every, detector, _nested(detector, parameters), time_column, value_column
    )
    if wrong := problem(choice):
        raise click.BadParameter(wrong, param_hint="'--detector'")
    try:
        found = paths.jobs(source, target, picture)
    except paths.BadPath as error:
        _fail(str(error))
    processes = jobs or len(os.sched_getaffinity(0))
    sys.exit(_run(found, choice, source if source.is_dir() else None, processes, quiet=quiet))


def _nested(detector: str, parameters: tuple[tuple[str, object], ...]) -> dict[str, object]:
    """Parameters by name; those of a pipeline's step under the step's name."""
    if "|" not in detector:
        return dict(parameters)
    steps: dict[str, object] = {}
    for name, value in parameters:
        step, _, parameter = name.rpartition(".")
        of_step = steps.setdefault(step or parameter, {})
        if step and isinstance(of_step, dict):
            of_step[parameter] = value
    return steps


def _run(
    found: "list[Job]", choice: "Choice", directory: Path | None, processes: int, *, quiet: bool
) -> int:
    """Judge and report; the exit code."""
    from dataflows.detect import report  # noqa: PLC0415
    from dataflows.detect.processes import judge_all  # noqa: PLC0415
    from dataflows.detect.run import STOPPED  # noqa: PLC0415

    began = time.monotonic()
    outcomes: list[Outcome] = []
    total = sum(job.size for job in found)
    stopped = False
    try:
        with report.progress(total, len(found), shown=not quiet and _bar_fits(found)) as tell:
            outcomes.extend(judge_all(found, choice, processes if directory else 0, tell))
    except KeyboardInterrupt:
        stopped = True
    outcomes.sort(key=lambda outcome: outcome.job.source)
    if not quiet:
        report.summary(outcomes, time.monotonic() - began, directory)
    if stopped:
        click.echo(f"burnline: stopped after {len(outcomes)} of {len(found)} files", err=True)
    problems = [outcome.problem for outcome in outcomes if outcome.problem]
    for problem in problems:
        if problem != STOPPED:
            click.echo(f"burnline: {problem}", err=True)
    return 130 if stopped or STOPPED in problems else min(1, len(problems))


def _bar_fits(found: "list[Job]") -> bool:
    """Whether there is something to measure by, and no rows are shown where the bar would be."""
    from dataflows.detect.paths import STANDARD  # noqa: PLC0415

    return not any(
        job.source == STANDARD or (job.target == STANDARD and sys.stdout.isatty()) for job in found
    )


def _fail(message: str) -> NoReturn:
    click.echo(f"burnline: {message}", err=True)
    sys.exit(1)
