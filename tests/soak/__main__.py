"""`python -m tests.soak kill|overload|disk`; exits with 1 if anything was lost, doubled or otherwise."""

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import click

from tests.servers import alertmanager
from tests.soak import kill as killing


@click.group()
def main() -> None:
    """Burnline under faults."""


@main.command()
@click.option("--kills", default=200, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--longest", default=5.0, show_default=True, help="Seconds left alone.")
@click.option("--json", "as_json", is_flag=True)
@click.option("--keep", type=click.Path(path_type=Path), help="Directory to leave the engines' in.")
def kill(kills: int, seed: int, longest: float, *, as_json: bool, keep: Path | None) -> None:
    """Kill an engine at random moments, and compare it with one that is left alone."""
    with ExitStack() as stack:
        directory = keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        directory.mkdir(exist_ok=True, parents=True)
        real = stack.enter_context(alertmanager(directory))
        run = killing.Run(directory, kills, seed, longest=longest, alertmanagers=[real], note=_note)
        report = run.run()
    click.echo(report.json() if as_json else report.text())
    sys.exit(bool(report.faults))


def _note(text: str) -> None:
    click.echo(text, err=True)


main()
