"""The command line: `burnline validate | run | backtest | detect | demo | price | presets | schema`.

Every command exits with 0 when it did its work, 1 when something it was given is wrong (with the place
and the mend), 2 when it was called the wrong way; `run` with 75 when it is to be started again: a process
of its cluster is gone, or was told to stop.
"""

import json
import os
import signal
import sys
from importlib.metadata import version
from pathlib import Path

import click
from rich.console import Console

from dataflows.detect.command import detect
from dataflows.options import run_options, settings_of
from dataflows.price import price
from slo.problems import Problem

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(context_settings=CONTEXT)
@click.version_option(version("burnline"), prog_name="burnline")
def main() -> None:
    """SLOs kept as a stream: OTLP in, burn-rate pages in Alertmanager out."""


@main.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
def validate(paths: tuple[Path, ...]) -> None:
    """Check SLO files, or directories of them; problems as file:line:column."""
    from dataflows.validate import validate as check  # noqa: PLC0415  commands import what they use

    outcome = check(paths)
    for line in outcome.lines:
        click.echo(line)
    for line in outcome.errors:
        click.echo(line, err=True)
    sys.exit(outcome.exit_code)


@main.command()
def schema() -> None:
    """Print the JSON Schema of SLO files, for editors."""
    from slo import json_schema  # noqa: PLC0415

    click.echo(json.dumps(json_schema(), indent=2))


@main.command()
@click.argument("name", required=False)
@click.option(
    "--service", default="chat-api", show_default=True, help="Whose SLO is printed, with NAME."
)
def presets(name: str | None, service: str) -> None:
    """List the ready-made SLOs, or print the SLO file that one stands for.

    In an SLO file `- preset: NAME` is enough; print it to see what it counts, or to change more than its
    parameters.
    """
    from slo.loading import load  # noqa: PLC0415
    from slo.presets.library import presets as library  # noqa: PLC0415
    from slo.presets.listing import catalogue, written_out  # noqa: PLC0415

    if name is None:
        click.echo(catalogue(), nl=False)
    elif name in library():
        text = written_out(library()[name], service)
        if problems := load({f"--service {service}": text}).problems:
            _fail(f"{problems[0].what}; {problems[0].mend}")
        click.echo(text, nl=False)
    else:
        _fail(f"there is no preset {name}; there are {', '.join(library())}")


@main.command()
@run_options
def run(**options: object) -> None:
    """Start the engine: receivers, dataflow, /metrics and alerts.

    Every option can be given as an environment variable (BURNLINE_...) too. Stop it with Ctrl-C or
    SIGTERM; started again on the same data directory it goes on from where it was. SIGHUP reloads the SLOs.
    """
    # One that comes before the engine can reload waits for it, instead of ending the process.
    hangups: list[int] = []
    signal.signal(signal.SIGHUP, lambda number, _frame: hangups.append(number))
    from dataflows.cluster.company import AGAIN, ClusterEnded  # noqa: PLC0415
    from dataflows.data_dir import StartError  # noqa: PLC0415
    from dataflows.live import Engine  # noqa: PLC0415

    try:
        Engine(settings_of(options)).run(hangups)
    except StartError as error:
        _fail(str(error))
    except ClusterEnded as ended:
        click.echo(f"burnline: {ended}", err=True)
        # The flow's threads may hang for ever, waiting for a process that is gone.
        os._exit(AGAIN)


@main.command()
@click.option(
    "--slos",
    "slos",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    help="SLO file or directory; may be repeated.",
)
@click.option(
    "--data",
    "first",
    multiple=True,
    required=True,
    type=click.Path(path_type=Path),
    help="Recorded telemetry; further files may follow without --data.",
)
@click.argument("more", nargs=-1, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option(
    "--anomalies",
    type=click.Choice(["on", "off"], case_sensitive=False),
    default="on",
    show_default=True,
    help="Watch for anomalies: what the SLO files say, or every service and model.",
)
@click.option(
    "--prices",
    type=click.Path(path_type=Path),
    help="Own prices of models, over the bundled ones.",
)
def backtest(
    slos: tuple[Path, ...],
    first: tuple[Path, ...],
    more: tuple[Path, ...],
    anomalies: str,
    prices: Path | None,
    *,
    as_json: bool,
) -> None:
    """Run SLOs over recorded telemetry, with time taken from the events.

    Reads OTLP as JSON lines or length-delimited protobuf, as the Collector's file exporter writes them;
    plain, .gz or .zst.
    """
    from dataflows import backtest as backtesting  # noqa: PLC0415
    from dataflows.progress import kernels_ready, reading  # noqa: PLC0415
    from dataflows.reporting import as_json as to_json  # noqa: PLC0415
    from dataflows.reporting import print_report  # noqa: PLC0415
    from engine import price_files  # noqa: PLC0415
    from engine.slo_files import load_paths  # noqa: PLC0415

    loaded = load_paths(slos)
    if loaded.problems:
        _refuse(loaded.problems)
    try:
        price_files.use(price_files.load(prices))
    except price_files.PricesError as error:
        _fail(f"the file of prices has problems:\n{error}")
    try:
        with kernels_ready(), reading() as progress:
            monitors = loaded.monitors if anomalies == "on" else ()
            report = backtesting.backtest(loaded.objectives, (*first, *more), progress, monitors)
    except backtesting.BadRecording as error:
        _fail(str(error))
    objectives = {o.id: o for o in loaded.objectives}
    if as_json:
        click.echo(json.dumps(to_json(report, objectives)))
    else:
        print_report(report, objectives, Console())


@main.command()
@click.option("--seconds", type=float, help="End by itself after so many seconds of live traffic.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end.")
@click.option(
    "--traffic",
    type=click.Path(path_type=Path),
    help="Replay a trace: a CSV of TIMESTAMP, ContextTokens, GeneratedTokens.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of the made-up parts.")
def demo(seconds: float | None, traffic: Path | None, seed: int, *, as_json: bool) -> None:
    """Run the main job on made-up traffic in which one model starts failing for one tenant."""
    from dataflows.demo.run import run_demo  # noqa: PLC0415

    sys.exit(run_demo(seconds=seconds, as_json=as_json, traffic=traffic, seed=seed))


main.add_command(detect)
main.add_command(price)


def _refuse(problems: tuple[Problem, ...]) -> None:
    for problem in problems:
        click.echo(str(problem), err=True)
    sys.exit(1)


def _fail(message: str) -> None:
    click.echo(f"burnline: {message}", err=True)
    sys.exit(1)
